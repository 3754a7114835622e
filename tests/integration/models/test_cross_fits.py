"""Networks that did not learn an answer, and the evidence that they give about it."""

from dataclasses import replace

import numpy as np
import torch

from services.trainer.domain.folds import answer_folds
from services.trainer.domain.training_set import MemberRole, MemberUse, TrainingMember, TrainingSet
from services.trainer.job.evidence import cross_fitted, gather_evidence
from services.trainer.job.learners import ResidualLearner
from siad.models.bundle import open_bundle
from siad.models.training.recipe import ResidualRecipe
from tests.integration.models.test_candidate import Store, member
from tests.synthetic import bundle

RECIPE = ResidualRecipe(steps=20, synthetic_max=4, train_s=60.0)


def answer(number: int, role: MemberRole) -> TrainingMember:
    return replace(member(number, role, MemberUse.TRAIN), weight=1.0, revision=1)


MEMBERS = TrainingSet(
    members=(
        member(1, MemberRole.NORMAL, MemberUse.TRAIN),
        *(answer(40 + n, MemberRole.DEFECT) for n in range(4)),
        *(answer(50 + n, MemberRole.NORMAL) for n in range(2)),
        *(member(60 + n, MemberRole.GOOD, MemberUse.CHECK) for n in range(3)),
    )
)


def test_each_answer_is_judged_by_a_network_that_did_not_learn_it() -> None:
    learner = ResidualLearner(bundle(), RECIPE, trust=1.0, device=torch.device("cpu"))
    learner.prepare(MEMBERS, Store().read)
    views = {view.answered for view in learner._views} - {""}
    assert views == {one.capture_id for one in MEMBERS.members if one.is_corrected}
    while not learner.is_done:
        learner.run_epoch()
    whole = {name: value.clone() for name, value in learner.training.segmenter.decoder.state_dict().items()}
    folds = answer_folds(MEMBERS, taught=())
    fits = learner.cross_fit(folds)
    assert [fit.left_out for fit in fits] == folds
    assert all(
        torch.equal(value, learner.training.segmenter.decoder.state_dict()[name]) for name, value in whole.items()
    )
    heads = [fit.detector.decoder.head.weight.detach().numpy() for fit in fits]  # type: ignore[attr-defined]
    assert not any(np.array_equal(head, whole["head.weight"].numpy()) for head in heads)
    assert not np.array_equal(heads[0], heads[1])
    teacher = open_bundle(bundle().manifest, bundle().parts)
    evidence = gather_evidence(cross_fitted(teacher, fits), teacher, MEMBERS, Store().read, budget=0.05)
    shown = {one.capture_id: one.is_cross_fitted for one in evidence.captures}
    assert {name for name, is_fitted in shown.items() if is_fitted} == views
    assert sum(not is_fitted for is_fitted in shown.values()) == 3
    differ = [ours != theirs for ours, theirs in zip(evidence.candidate.scores, evidence.serving.scores, strict=True)]
    assert differ == list(shown.values()), "only the cross-fitted ones are judged by other networks"
