"""Contact sheets of augmented images: what a network is trained on, to look at."""

from PIL import Image

from doublevit.augment import AugmentConfig
from doublevit.augment.policies import described_views
from doublevit.data.dataset import Dataset
from doublevit.data.sheet import captioned_sheet, first_of_classes


def views_sheet(dataset: Dataset, augment: AugmentConfig, classes: int = 10, views: int = 8) -> Image.Image:
    """Draw the first image of each of some classes, followed by views of it by a policy, with captions."""
    chosen = first_of_classes(dataset, classes)
    images = dataset.images[chosen]
    made = described_views(images, chosen, augment, views)
    names = [dataset.class_names[label] for label in dataset.labels[chosen]]
    originals = zip(images, names, strict=True)
    return captioned_sheet([[(image, [name]), *row] for (image, name), row in zip(originals, made, strict=True)])
