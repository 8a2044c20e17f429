"""A prompt template as the Jinja text that transformers, vLLM and SGLang render conversations with."""

import json

from models.prompt.template import Template

# a turn is text, or a list of parts, of which an image or a clip becomes a placeholder on a line of its own
_CONVERSATION = """\
{%- for message in messages -%}
{%- set turn = namespace(text='') -%}
{%- if message['content'] is string -%}
{%- set turn.text = message['content'] -%}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] in ('image', 'image_url') -%}
{%- set turn.text = turn.text + image -%}
{%- elif part['type'] in ('video', 'video_url') -%}
{%- set turn.text = turn.text + video -%}
{%- else -%}
{%- set turn.text = turn.text + part['text'] -%}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- if trims -%}{%- set turn.text = turn.text | trim -%}{%- endif -%}
{%- if message['role'] == 'user' and loop.index0 % 2 == 0 -%}
{{- (head if loop.first else again) + turn.text + user_close -}}
{%- elif message['role'] == 'assistant' and loop.index0 % 2 == 1 -%}
{{- prompt + answer_open + turn.text + answer_close -}}
{%- else -%}
{{- raise_exception('expected turns of user, assistant, user, ...; the system text is part of the template') -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- prompt -}}{%- endif -%}"""


def chat_template(template: Template, around: tuple[str, str] = ("", "")) -> str:
    """Return Jinja text that renders conversations as `template` does, each medium as <image> or <video> and a newline.

    around: text in front of and behind each medium. Raises ValueError for a caption template, which has no turns.
    """
    if template.media_only:
        raise ValueError(f"{template.name}: a caption template has no turns, so there is no chat template of it")
    before, behind = around
    strings = {
        "image": f"{before}<image>{behind}\n",
        "video": f"{before}<video>{behind}\n",
        "head": template.head,
        "again": template.again,
        "user_close": template.user_close,
        "prompt": template.prompt,
        "answer_open": template.answer_open,
        "answer_close": template.answer_close,
    }
    # JSON's escapes are also Jinja's
    sets = [f"{{%- set {name} = {json.dumps(text)} -%}}" for name, text in strings.items()]
    return "\n".join([*sets, f"{{%- set trims = {str(template.trim).lower()} -%}}", _CONVERSATION])
