"""Streams that come damaged: whatever it does to them, it is over with the damage, and nobody else notices."""

from pathlib import Path

from tests.mutated_streams import try_beside_a_sound_one


def test_damage_on_the_way_costs_nobody_else_anything_and_passes(tmp_path: Path) -> None:
    problem, _ = try_beside_a_sound_one(tmp_path, count=8, seed=7)
    assert problem == ""
