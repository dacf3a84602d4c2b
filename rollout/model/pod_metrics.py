"""The pods' metrics that the gates judge: their names, labels and values, for the gates' query and the monitoring.

Names are patterns: exporters differ in colons and counter suffixes, and vLLM has renamed some metrics.
https://github.com/vllm-project/vllm/blob/main/vllm/v1/metrics/loggers.py
"""

from typing import Final

RESPONSES: Final = "http_requests_total"
FINISHED: Final = "vllm[:_]request_success(_total)?"
TTFT: Final = "vllm[:_]time_to_first_token_seconds_bucket"
INTER_TOKEN: Final = "vllm[:_]inter_token_latency_seconds_bucket"
INTER_TOKEN_FORMERLY: Final = "vllm[:_]time_per_output_token_seconds_bucket"
END_TO_END: Final = "vllm[:_]e2e_request_latency_seconds_bucket"
GENERATED: Final = "vllm[:_]generation_tokens(_total)?"
PROMPT_LENGTHS: Final = "vllm[:_]request_prompt_tokens_bucket"
ANSWER_LENGTHS: Final = "vllm[:_]request_generation_tokens_bucket"
ANSWER_LENGTHS_SUM: Final = "vllm[:_]request_generation_tokens_sum"
WAITING: Final = "vllm[:_]num_requests_waiting"
ALL: Final = "|".join(
    (
        *(RESPONSES, FINISHED, TTFT, INTER_TOKEN, INTER_TOKEN_FORMERLY, END_TO_END, WAITING),
        *(GENERATED, ANSWER_LENGTHS, ANSWER_LENGTHS_SUM),
    )
)

TRAFFIC: Final = 'handler=~"(/v1/.*)?", method=~"(POST)?"'
"""Selects the exchanges that count as requests. A label that a metric does not have counts as empty."""
GENERATING: Final = r"(/v1/((chat/)?completions|responses|messages|audio/(transcriptions|translations)))?"
"""Pattern of the endpoints whose every request is at least one generation.

https://docs.vllm.ai/en/latest/serving/openai_compatible_server/
"""
ANSWERED_STATUS: Final = "2"
"""What the status of an answer begins with."""
SERVER_ERROR_STATUS: Final = "5"
"""What the status of a server error begins with."""
ENGINE_ERROR: Final = "error"
"""The finish reason of a generation that ended in an error."""
ABORTED: Final = "abort"
"""The finish reason of a generation that was aborted."""
