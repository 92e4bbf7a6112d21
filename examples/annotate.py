"""Draws boxes round what moves, with annotators that are called as those of Roboflow's supervision are."""

import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from syncsvc import Subscriber


@dataclass
class Detections:
    """Boxes ``(n, 4)`` int as left, top, right, bottom: what ``supervision.Detections`` calls the same."""

    xyxy: np.ndarray


class BoxAnnotator:
    """Called as ``supervision.BoxAnnotator`` is: it draws on the scene and gives it back."""

    def annotate(self, scene: np.ndarray, detections: Detections) -> np.ndarray:
        for left, top, right, bottom in detections.xyxy.tolist():
            cv2.rectangle(scene, (left, top), (right, bottom), (0, 255, 0), 2)
        return scene


endpoint, folder = sys.argv[1], Path(sys.argv[2])
background = defaultdict(cv2.createBackgroundSubtractorMOG2)  # by camera
with Subscriber(endpoint) as batches:
    for together in batches.receive(timeout_s=30).sets[:10]:
        for name, frame in together.frames.items():
            picture = frame.to_bgr()
            mask = background[name].apply(picture)
            moving, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            boxes = [(x, y, x + w, y + h) for x, y, w, h in map(cv2.boundingRect, moving) if w * h > 50]
            BoxAnnotator().annotate(scene=picture, detections=Detections(np.array(boxes, int).reshape(-1, 4)))
            cv2.imwrite(str(folder / f"{name}_{frame.seq}.jpg"), picture)
