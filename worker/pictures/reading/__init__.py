"""The one reader of encoded results for the page of an analysis: SEG, SR, Parametric Map, key images, from their bytes.

Nothing of what encoded them is used, nor highdicom (docs/decisions/0016): what is shown is what a viewer would find.
"""
