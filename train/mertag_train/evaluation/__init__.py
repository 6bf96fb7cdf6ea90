"""How good is it, really, and how sure are we: methods, data sets and folds in; figures and the paper's tables out.

`protocol` fixes the songs and the folds, `runner` runs methods on them and keeps every finished fold (`results`),
`summary` makes figures of what is there, `tables` puts them beside the paper's, `report` makes a `sheet` of them, and
`output` writes and draws.
"""
