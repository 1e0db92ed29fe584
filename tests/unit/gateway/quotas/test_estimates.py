"""What answers without usage are taken to have used."""

from gateway.quotas.estimates import MOST_MODELS, Answer, Estimator
from gateway.quotas.usage import Usage


def test_an_answer_that_tells_its_usage_is_taken_by_its_word() -> None:
    answer = Answer(200, 1, 400, 900, prompt=7, cached=4, completion=5, reasoning=2)

    assert Estimator().usage("m", answer) == Usage(7, 4, 5, 2)


def test_an_error_and_a_refusal_use_nothing() -> None:
    for status in (400, 404, 429, 500, 503):
        assert Estimator().usage("m", Answer(status, 1, 400, 90)) is None
    assert Estimator().usage("m", Answer(0, 0, 400, 0)) is None


def test_a_client_that_leaves_in_a_stream_pays_for_what_it_got() -> None:
    usage = Estimator().usage("m", Answer(200, 1, 400, 2000, is_streamed=True))

    assert usage == Usage(prompt=100, completion=10, is_estimated=True)


def test_a_client_that_leaves_before_the_answer_pays_for_its_prompt() -> None:
    assert Estimator().usage("m", Answer(0, 1, 400, 0)) == Usage(prompt=100, is_estimated=True)


def test_what_a_model_streams_for_a_token_is_learned_apart_from_its_other_answers() -> None:
    estimator = Estimator()
    for _ in range(60):
        estimator.usage("m", Answer(200, 1, 1000, 30_000, is_streamed=True, prompt=100, completion=100))
        estimator.usage("m", Answer(200, 1, 1000, 500, prompt=100, completion=100))

    stream = estimator.usage("m", Answer(200, 1, 1000, 3000, is_streamed=True))
    plain = estimator.usage("m", Answer(200, 1, 1000, 3000))
    other = estimator.usage("other", Answer(200, 1, 1000, 3000, is_streamed=True))

    assert stream is not None
    assert plain is not None
    assert (stream.prompt, stream.completion, plain.completion) == (100, 10, 600)
    assert other == Usage(250, completion=15, is_estimated=True)


def test_an_embedding_has_no_completion_to_estimate() -> None:
    assert Estimator().usage("m", Answer(200, 1, 400, 90_000, prompt=9)) == Usage(prompt=9)


def test_invented_models_push_out_the_oldest_and_nothing_more() -> None:
    estimator = Estimator()
    for at in range(5 * MOST_MODELS):
        estimator.usage(f"m{at}", Answer(200, 1, 1000, 500, prompt=100, completion=100))

    assert len(estimator._ratios) == 3 * MOST_MODELS
