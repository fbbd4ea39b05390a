"""Losses on PyTorch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from unified.backends.protocol import Natives

natives = Natives()

natives(
    hinge_embedding_loss=F.hinge_embedding_loss,
    margin_ranking_loss=F.margin_ranking_loss, cosine_embedding_loss=F.cosine_embedding_loss,
    binary_cross_entropy=F.binary_cross_entropy, binary_cross_entropy_with_logits=F.binary_cross_entropy_with_logits,
    multilabel_soft_margin_loss=F.multilabel_soft_margin_loss, poisson_nll_loss=F.poisson_nll_loss,
)  # fmt: skip


def _of_one_shape(function):
    """``function(input, target, *options)`` on broadcast operands, so that PyTorch does not warn of it."""

    def native(input, target, *options):
        if input.shape != target.shape:
            input, target = torch.broadcast_tensors(input, target)
        return function(input, target, *options)

    return native


natives(
    mse_loss=_of_one_shape(F.mse_loss), l1_loss=_of_one_shape(F.l1_loss), huber_loss=_of_one_shape(F.huber_loss),
    smooth_l1_loss=_of_one_shape(F.smooth_l1_loss),
)  # fmt: skip


def _of_indices(function):
    """``function(input, target, *options)`` with the int64 class indices that PyTorch insists on."""

    def native(input, target, *options):
        return function(input, target if target.is_floating_point() else target.long(), *options)

    return native


natives(
    nll_loss=_of_indices(F.nll_loss), cross_entropy=_of_indices(F.cross_entropy),
    multi_margin_loss=_of_indices(F.multi_margin_loss), multilabel_margin_loss=_of_indices(F.multilabel_margin_loss),
)  # fmt: skip


@natives
def kl_div(input, target, size_average, reduce, reduction, log_target):
    if reduction == "mean" and size_average is None and reduce is None:
        return torch.kl_div(input, target, 1, log_target=log_target)  # F.kl_div warns of what this mean is
    return F.kl_div(input, target, size_average, reduce, reduction, log_target)


@natives
def triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction):
    return F.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=reduction)


@natives
def ctc_losses(log_probs, targets, input_lengths, target_lengths, blank, zero_infinity):
    return torch.ctc_loss(
        log_probs, targets.long(), input_lengths.long(), target_lengths.long(), blank, 0, zero_infinity
    )
