"""Parameters of the trainings of segmenters."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """Parameters of training a U-Net.

    Comments give the change of image AUROC on solar cells, from 200 of them, over two seeds.
    """

    epochs: int = 15  # 30 start to fit the wrong masks: -.01
    train_s: float = 45.0  # limit on slow machines; the learning rate follows the limit that comes first
    batch: int = 16
    rate: float = 2e-3
    defect_share: float = 0.4  # of a batch, while there are defective examples; .25: -.02
    synthetic_share: float = 0.5  # of the good examples that get a synthetic defect; none: -.04, .8: -.01
    image_share: float = 0.2  # of the loss, for the image's own score; .5: -.01, .8: -.03
    unmarked_weight: float = 0.3  # of an unmarked position of a defective image
    refresh_share: float = 0.15  # of the examples that are encoded again in each epoch
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualRecipe:
    """Parameters of training the correction of a teacher; docs/learning.md has the measurements."""

    steps: int = 170
    steps_each: int = 10  # between two chances of a checkpoint
    train_s: float = 300.0  # limit on slow machines; steps end a training first, so that it can be repeated
    batch: int = 12  # crops
    crop: int = 32  # side of a crop at most, positions of the finest grid
    rate: float = 2e-3
    penalty: float = 0.005  # on the mean square of the correction
    anchor: float = 0.3  # likewise, over the positions that lessons say nothing about
    normal_share: float = 0.10  # of what a batch has beside corrections
    good_share: float = 0.20
    marked_share: float = 0.35
    synthetic_share: float = 0.35
    outlined_share: float = 0.25  # of a batch, where people called images defective
    confirmed_share: float = 0.15  # likewise, good
    synthetic_each: int = 2  # synthetic defects on each good image at most
    synthetic_max: int = 90  # of all together
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FastRecipe(ResidualRecipe):
    """Parameters of training a fast segmenter; docs/adr/0040-fast-segmenter.md has the measurements."""

    steps: int = 300  # 800 measured no better
    synthetic_max: int = 150
    normal_share: float = 0.15
    good_share: float = 0.30
    marked_share: float = 0.30
    synthetic_share: float = 0.25
