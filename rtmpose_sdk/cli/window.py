"""A window that shows pictures as they come (`--show`): tkinter, headless OpenCV has no windows."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from rtmpose_sdk.closing import Closing
from rtmpose_sdk.errors import DeviceError


class Window(Closing):
    """A window on the screen; a context manager.

    Args:
        title: what stands above it.

    Raises:
        DeviceError: there is no screen, or no tkinter.
    """

    def __init__(self, title: str) -> None:
        try:
            import tkinter
        except ImportError:
            raise DeviceError(
                "--show needs Python's tkinter, which is not installed (python3-tk)"
            ) from None
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise DeviceError(f"--show needs a screen, and there is none ({error}); leave it out") from None
        self._root.title(title)
        self._label = tkinter.Label(self._root)
        self._photo_of = tkinter.PhotoImage
        self._label.pack()
        self._open = True
        self._root.protocol("WM_DELETE_WINDOW", self._shut)
        self._root.bind("<Escape>", lambda _: self._shut())
        self._root.bind("q", lambda _: self._shut())

    def _shut(self) -> None:
        self._open = False

    def show(self, picture: NDArray[np.uint8]) -> bool:
        """Show a drawn frame (H,W,3) uint8 BGR; False when the window was closed (q, Escape)."""
        height, width = picture.shape[:2]
        room = min(
            0.9 * self._root.winfo_screenwidth() / width, 0.85 * self._root.winfo_screenheight() / height
        )
        size = (int(width * room), int(height * room))
        fitting = cv2.resize(picture, size, interpolation=cv2.INTER_AREA) if room < 1 else picture
        # The label does not keep its picture alive.
        self._photo = self._photo_of(data=cv2.imencode(".ppm", fitting)[1].tobytes())
        self._label.configure(image=self._photo)
        self._root.update()
        return self._open

    def close(self) -> None:
        """Take the window from the screen."""
        self._root.destroy()
