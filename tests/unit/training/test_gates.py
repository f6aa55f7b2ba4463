"""The table of gates says plainly what is met and what is not."""

from __future__ import annotations

from pathlib import Path

from inference.training.gates import Gate, load_gates, save_gates, table


def test_a_gate_is_met_at_its_limit_and_not_beyond() -> None:
    assert Gate("a", 0.9, 0.9).is_met
    assert not Gate("a", 0.899, 0.9).is_met
    assert Gate("a", 0.05, 0.05, at_most=True).is_met
    assert not Gate("a", 0.06, 0.05, at_most=True).is_met
    assert Gate("a", 0.1).is_met is None


def test_the_table_shows_value_null_ceiling_limit_and_verdict() -> None:
    text = table([Gate("shape", 0.5, 0.95, null=0.04, ceiling=1.0, count=264), Gate("told", 0.2)])
    assert "| shape | 0.500 | 0.040 | 1.000 | ≥ 0.95 | NO | 264 |" in text
    assert "| told | 0.200 |  |  |  |  |  |" in text


def test_gates_survive_a_file(tmp_path: Path) -> None:
    gates = [Gate("absent", 0.02, 0.05, at_most=True, count=10)]
    save_gates(tmp_path / "gates.json", gates)
    assert load_gates(tmp_path / "gates.json") == gates
