"""The columns of the segment table."""

from enum import IntEnum


class Column(IntEnum):
    """One int32 column each; sizes and places in tokens."""

    SRC = 0  # first source token of the canvas in the flat [N * P] features
    COLS = 1  # tiles in a row of the canvas
    TOK = 2  # tokens per side of a tile
    Y = 3  # crop, in canvas tokens
    X = 4
    H = 5
    W = 6
    OUT_H = 7  # size after resampling or pooling
    OUT_W = 8
    END = 9  # a code of END_CODES
    VEC = 10  # which end vector
    DST = 11  # first packed token of the segment
    REDUCE = 12  # a code of REDUCE_CODES
    CLOSE = 13  # 1 + the end vector that follows the segment on top of END, 0 for none


# an end vector after nothing, after each row, after the segment
END_CODES = {"none": 0, "row": 1, "segment": 2}
# how a crop comes to another size: resampled, or the mean or largest of whole blocks
REDUCE_CODES = {"bilinear": 0, "average": 1, "max": 2}
# most tokens of a block whose largest is taken: its place is kept in a byte
LARGEST_BLOCK = 256
