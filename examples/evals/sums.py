"""A task of Inspect: sums in words. The last number of an answer must be the right one."""

from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import match
from inspect_ai.solver import generate, prompt_template


@task
def sums() -> Task:
    """Return the task. Its data is beside this file."""
    return Task(
        dataset=json_dataset(str(Path(__file__).parent / "sums.jsonl"), FieldSpec(input="question", target="answer")),
        solver=[prompt_template("{prompt} End with the number."), generate()],
        scorer=match(location="end", numeric=True),
        config=GenerateConfig(temperature=0, max_tokens=128),
    )
