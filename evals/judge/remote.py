"""A judge behind an OpenAI-compatible endpoint, several questions at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from evals.endpoint import Chat, Endpoint, EndpointDown, EndpointRefused, RequestFailed
from evals.judge.judge import JudgeQuestion, JudgeReply, JudgeStopped
from evals.ledger import Config
from evals.messages import Encoding, user_message
from evals.predict import MediaFailed
from evals.sample import Media
from models.example import Medium

# so many questions in a row without any answer end the judging: the endpoint is gone
PATIENCE = 8


class RemoteJudge:
    """Asks `endpoint`, `workers` questions at a time. open: how the media of a question are decoded."""

    def __init__(
        self,
        endpoint: Endpoint,
        open_media: Callable[[Media], Medium],
        max_tokens: int,
        workers: int,
        encoding: Encoding = "png",
    ) -> None:
        self.endpoint, self.open_media, self.encoding = endpoint, open_media, encoding
        self.max_tokens, self.workers = max_tokens, workers

    def facts(self) -> Config:
        """Return address, model, temperature, seed and the limit of a reply."""
        return {"judge": "endpoint", **self.endpoint.spec.facts, "max_tokens": self.max_tokens}

    def ask(self, questions: Sequence[JudgeQuestion]) -> Iterator[tuple[JudgeQuestion, JudgeReply]]:
        """Yield each question with its reply, as they come."""
        asked: list[JudgeQuestion] = []
        unseen: list[tuple[JudgeQuestion, JudgeReply]] = []
        silent = 0
        for place, answer in self._answers(self._conversations(questions, asked, unseen)):
            silent = silent + 1 if isinstance(answer, EndpointDown) else 0
            yield asked[place], _reply(answer)
            if silent >= PATIENCE:
                raise JudgeStopped(f"{self.endpoint.spec.url}: the last {silent} questions had no answer: {answer}")
        yield from unseen

    def _conversations(
        self,
        questions: Sequence[JudgeQuestion],
        asked: list[JudgeQuestion],
        unseen: list[tuple[JudgeQuestion, JudgeReply]],
    ) -> Iterator[list[Mapping[str, object]]]:
        """Yield the messages of each question, and note it in `asked`; one whose media cannot be read is `unseen`."""
        for question in questions:
            try:
                media = [self.open_media(medium) for medium in question.media]
                message = user_message(question.text, media, self.encoding)
            except (MediaFailed, ValueError) as error:
                unseen.append((question, JudgeReply(text=None, detail=str(error))))
                continue
            asked.append(question)
            system = [{"role": "system", "content": question.system}] if question.system else []
            yield [*system, message]

    def _answers(
        self, conversations: Iterator[Sequence[Mapping[str, object]]]
    ) -> Iterator[tuple[int, Chat | RequestFailed]]:
        try:
            yield from self.endpoint.chat_all(conversations, self.max_tokens, self.workers)
        except EndpointRefused as error:
            raise JudgeStopped(str(error)) from error


def _reply(answer: Chat | RequestFailed) -> JudgeReply:
    if isinstance(answer, RequestFailed):
        return JudgeReply(text=None, detail=str(answer))
    detail = "cut off by max_tokens" if answer.cut else ""
    return JudgeReply(text=answer.text, detail=detail, served=answer.served, attempts=answer.attempts)
