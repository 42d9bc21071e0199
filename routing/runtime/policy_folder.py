"""Reads a policy folder from disk; ``rules`` itself knows no file system."""

from __future__ import annotations

import stat
from pathlib import Path

from rules.source import MAX_BYTES

_SUFFIXES = (".yaml", ".yml", ".csv", ".xlsx", ".json")  # .yml is read so that the check can say that it is not used
_MAX_FILES = 1_000


class PolicyFolderError(Exception):
    """The folder cannot be read: ``args[0]`` says what is wrong and what to do."""


def read_folder(path: Path | str) -> dict[str, bytes]:
    """The YAML, CSV and XLSX files directly in the folder, by name. Blocks on the disk.

    Hidden files, symbolic links, subfolders and the locks of open workbooks (``~$…``) are left out: a policy is the files
    one sees in its folder. Of a file larger than ``MAX_BYTES`` one byte more than that is read, so that memory is bounded
    and the check refuses it.

    Raises PolicyFolderError when there is no such folder, or a file of it cannot be read.
    """
    folder = Path(path)
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        raise PolicyFolderError(f"There is no policy folder {folder}. Name one that holds engagement.yaml.") from None
    except NotADirectoryError:
        raise PolicyFolderError(f"{folder} is a file. Name the folder that holds engagement.yaml.") from None
    except OSError as error:
        raise PolicyFolderError(f"The policy folder {folder} cannot be read: {error.strerror}.") from error
    files: dict[str, bytes] = {}
    for entry in entries:
        if entry.name.startswith((".", "~$")) or entry.suffix not in _SUFFIXES:
            continue
        try:
            if not stat.S_ISREG(entry.lstat().st_mode):
                continue
            with entry.open("rb") as file:
                files[entry.name] = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            continue  # taken away between listing and reading, as editors do when they save
        except OSError as error:
            raise PolicyFolderError(f"The policy file {entry} cannot be read: {error.strerror}.") from error
        if len(files) > _MAX_FILES:
            raise PolicyFolderError(
                f"{folder} holds more than {_MAX_FILES} YAML, CSV and XLSX files: this is no policy folder."
            )
    if not files:
        raise PolicyFolderError(f"{folder} holds no YAML, CSV or XLSX files: this is no policy folder.")
    return files
