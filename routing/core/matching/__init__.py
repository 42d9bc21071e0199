"""Which account a lead belongs to: evidence of a pair, one calibrated probability, three bands.

Read it in this order: ``names`` and ``domains`` turn texts into what can be compared, ``model`` holds both sides, ``index`` names the
keys by which candidates are found, ``score`` weighs a pair, ``decide`` chooses.
"""
