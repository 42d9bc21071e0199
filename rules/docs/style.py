"""How the playbook looks: on a wide screen, on a telephone, in the dark, and on paper."""

STYLE = """\
:root {
  --page: #fbfaf8; --card: #ffffff; --ink: #22252a; --soft: #626872; --line: #e3e1dc; --mark: #f3f1ec;
  --accent: #0b6b5d; --go: #0b6b5d; --keep: #2f5fa8; --stop: #a8532b;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181b; --card: #1e2125; --ink: #e6e4df; --soft: #9aa0a8; --line: #33373d; --mark: #282c31;
    --accent: #5cc4b1; --go: #5cc4b1; --keep: #86b0ee; --stop: #e39a70;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 1.5rem; }
body {
  margin: 0; background: var(--page); color: var(--ink); display: grid; grid-template-columns: 17rem minmax(0, 1fr);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
nav {
  position: sticky; top: 0; height: 100vh; overflow-y: auto; padding: 2rem 1rem 2rem 1.5rem;
  border-right: 1px solid var(--line); font-size: .875rem;
}
nav p { margin: 0 0 .75rem; color: var(--soft); text-transform: uppercase; letter-spacing: .06em; font-size: .75rem; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav ul ul { padding-left: .9rem; margin: .1rem 0 .4rem; border-left: 1px solid var(--line); }
nav li { margin: .25rem 0; overflow-wrap: anywhere; }
nav a { color: inherit; text-decoration: none; }
nav ul ul a { color: var(--soft); }
nav a:hover { color: var(--accent); text-decoration: underline; }
main { max-width: 74rem; padding: 2.5rem 3rem 4rem; overflow-wrap: break-word; }
h1, h2, h3, h4 { line-height: 1.25; letter-spacing: -.01em; margin: 0; }
h1 { font-size: 2.1rem; }
h2 { font-size: 1.45rem; margin-top: 3.25rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.1rem; margin-top: 2rem; }
p { margin: .6rem 0; }
header p { font-size: 1.1rem; color: var(--soft); max-width: 44rem; }
a { color: var(--accent); text-underline-offset: 2px; text-decoration-thickness: 1px; }
code {
  font: .85em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; background: var(--mark);
  padding: .1em .35em; border-radius: 4px; overflow-wrap: anywhere;
}
dl { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0 0; }
dl div {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .6rem 1rem; min-width: 6.5rem;
  display: flex; flex-direction: column;
}
dt { color: var(--soft); font-size: .85rem; }
dd { margin: 0; font-size: 1.5rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; margin: 1rem 0; border: 1px solid var(--line); border-radius: 10px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .5rem .8rem; }
th { font-weight: 600; color: var(--soft); background: var(--mark); vertical-align: bottom; }
td a { white-space: nowrap; }
td:empty::after { content: "\\2013"; color: var(--soft); }
td { min-width: 6rem; }
td:first-child { min-width: 9rem; }
tbody tr + tr td { border-top: 1px solid var(--line); }
ol.ladder { list-style: none; counter-reset: rung; margin: 1.25rem 0; padding: 0; }
ol.ladder > li { counter-increment: rung; position: relative; padding: 0 0 .9rem 3rem; }
ol.ladder > li::before {
  content: counter(rung); position: absolute; left: 0; top: .65rem; width: 2rem; height: 2rem; border-radius: 50%;
  display: grid; place-items: center; font-size: .85rem; font-weight: 650; color: var(--card); background: var(--go);
}
ol.ladder > li.keep::before { background: var(--keep); }
ol.ladder > li.stop::before { background: var(--stop); }
ol.ladder > li:not(:last-child)::after {
  content: ""; position: absolute; left: calc(1rem - 1px); top: 2.9rem; bottom: -.4rem; width: 2px; background: var(--line);
}
ol.ladder ol.ladder { margin: .75rem 0 0; }
.rung { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .7rem 1rem; }
.name { font-size: 1.02rem; }
.rung p { margin: .25rem 0; }
.when, .more { color: var(--soft); }
.does::before { content: "\\2192\\00a0"; color: var(--go); font-weight: 700; }
li.keep > .rung > .does::before { color: var(--keep); }
li.stop > .rung > .does::before { color: var(--stop); }
.written { font-size: .85rem; }
.written code { color: var(--soft); }
:target > .rung { border-color: var(--accent); box-shadow: 0 0 0 1px var(--accent); }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .85rem; }
@media (max-width: 60rem) {
  body { display: block; }
  nav { position: static; height: auto; border-right: 0; border-bottom: 1px solid var(--line); padding: 1.5rem; }
  nav ul ul { display: none; }
  main { padding: 1.5rem; }
}
@media print {
  :root {
    --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #ccc; --mark: #f4f4f4;
    --accent: #000; --go: #333; --keep: #333; --stop: #333;
  }
  @page { margin: 18mm 16mm; }
  body { display: block; font-size: 10pt; }
  nav { position: static; height: auto; overflow: visible; border: 0; padding: 0; break-after: page; }
  main { padding: 0; max-width: none; }
  a { text-decoration: none; }
  h2 { break-after: avoid; margin-top: 1.5rem; }
  h3 { break-after: avoid; }
  .rung, tr, dl div { break-inside: avoid; }
  .wide { overflow: visible; }
  thead { display: table-header-group; }
  ol.ladder > li::before { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
