"""A network in training, run as its artifact would be: measured by the same code, without an export."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from rtmpose_sdk.artifacts import Model
from rtmpose_sdk.card import ModelCard
from rtmpose_sdk.exporters.graph import example_input, in_graph, output_names
from rtmpose_sdk.runtimes.base import Array, Device, Runtime, TensorSpec
from rtmpose_sdk.runtimes.torch import without_tf32


def live_model(network: nn.Module, card: ModelCard) -> Model:
    """What `open_model` would give of the network's artifact; it runs where the network is.

    Args:
        network: with its weights; a copy of it runs, in evaluation mode.
        card: of the artifact, which takes pictures.
    """
    return Model(LiveRuntime(network, card), card)


class LiveRuntime(Runtime):
    """A network, and around it what its card says is in the artifact's graph; in fp32.

    Args:
        network, card: see `live_model`.
    """

    def __init__(self, network: nn.Module, card: ModelCard) -> None:
        # Not the base's: there is no file to be opened, and the network is on its device already.
        place = next(network.parameters()).device
        self.path, self.device = Path(card.name), Device(place.type, place.index or 0)
        self.threads = torch.get_num_threads()
        self.precision, self.arithmetic, self.metadata = None, "fp32", {}
        self._network, self._card, self._place = network, card, place
        self._activate()
        self._open = True

    def _activate(self) -> None:
        card = self._card
        self.engine = f"torch {torch.__version__}"
        self._graph = in_graph(self._network, card).to(self._place)
        example = example_input(card).numpy()
        sides = example.shape[1:3] if card.letterbox_step is None else (None, None)
        self.inputs = (TensorSpec("image", example.dtype.name, (None, *sides, 3)),)
        self.outputs = tuple(
            TensorSpec(name, value.dtype.name, (None,) * value.ndim)
            for name, value in zip(output_names(card), self._infer(example), strict=True)
        )

    @torch.inference_mode()
    def _infer(self, array: Array) -> tuple[Array, ...]:
        with without_tf32(torch):  # fp32 as in an artifact's engine
            values = self._graph(torch.from_numpy(array).to(self._place))
        values = (values,) if isinstance(values, Tensor) else values
        return tuple(value.cpu().numpy() for value in values)

    def _deactivate(self) -> None:
        del self._graph
