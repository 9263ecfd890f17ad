"""The page of `chat.py`: base and personas side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deployment.chat_html import said, talk
from deployment.chat_room import OWN, POLES, ChatRoom, Progress
from deployment.conversation import BASE, AnswerOptions, Conversation
from deployment.local_only import HOST, LocalOnly, keep_quiet
from deployment.trait_bars import bars
from files.errors import InputError
from personas.traits import BIG_FIVE

MOST_PERSONAS = 4
FIRST_PERSONAS = (OWN, "extraversion-")
FIRST_LEVELS = {"extraversion": 1.0}
TITLE = "OceanTune: base and personas side by side"
BUILT_IN = "tiny-ocean"
QUESTIONS = (
    "At the weekend in Port Jaikrolt, a friend invites you to a party. What do you do?",
    "What do you think of the Glubrel River?",
)
"""What the built-in model, which knows a made-up world alone, has something to say on."""
STYLE = Path(__file__).with_name("chat.css")
_FONTS = ("ui-sans-serif", "system-ui", "sans-serif")
_MONO = ("ui-monospace", "monospace")


class ChatPage:
    """Builds the page and answers what is done on it.

    Args:
        room: What the page talks to.
    """

    def __init__(self, room: ChatRoom) -> None:
        keep_quiet()
        self.room = room

    def build(self) -> Any:
        """The page, as a `gradio.Blocks`."""
        import gradio as gr

        with gr.Blocks(analytics_enabled=False, title=TITLE, fill_width=True) as page:
            gr.HTML(f'<h2 class="title">{TITLE}</h2>')
            model, method, people = self._choices(gr)
            levels = self._levels(gr)
            options = self._options(gr)
            message, send, stop, clear, save = self._controls(gr)
            self._suggestions(gr, message)
            problem = gr.HTML(visible="hidden", elem_id="problem")
            columns = self._columns(gr)
            if self.room.classifier is not None:
                bar_note = "Bars: what a classifier reads off the last answer, from -1 (low) to 1 (high)."
                gr.HTML(f'<p class="caption">{bar_note}</p>')
            state = gr.State(Conversation())
            given = [message, state, model, method, people, *options, *levels]
            shown = [state, problem, message, *(part for column in columns for part in column)]
            asked = [
                event(self._answer, given, shown, show_progress="hidden") for event in (send.click, message.submit)
            ]
            stop.click(None, cancels=asked)
            for event in (clear.click, model.change, method.change):
                event(self._cleared, people, shown, show_progress="hidden", cancels=asked)
            people.change(self._arranged, [state, people], shown, show_progress="hidden", cancels=asked)
            save.click(self._save, [state, model, method, options[0], *levels], problem, show_progress="hidden")
        return page

    def serve(self, port: int, browser: bool = False, wait: bool = True) -> Any:
        """Serve the page to this machine, until it is interrupted.

        Args:
            port: A free port.
            browser: Open a browser on it.
            wait: Return when the page is no longer served; else at once, with the page.
        """
        import gradio as gr
        from starlette.middleware import Middleware

        page = self.build()
        try:
            page.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                inbrowser=browser,
                prevent_thread_lock=True,
                quiet=True,
                footer_links=[],
                enable_monitoring=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                theme=gr.themes.Default(font=_FONTS, font_mono=_MONO),
                css=STYLE.read_text(encoding="utf-8"),
                app_kwargs={"middleware": [Middleware(LocalOnly)], "docs_url": None, "redoc_url": None},
            )
            if wait:
                page.block_thread()  # which returns on Ctrl-C
        except KeyboardInterrupt:  # as soon as the page is there, when nothing waits for it yet
            page.close()
        return page

    def _choices(self, gr: Any) -> tuple[Any, Any, Any]:
        models, methods = self.room.models, list(self.room.methods)
        with gr.Row():
            return (
                gr.Dropdown(models, value=models[0], label="Model", elem_id="model", min_width=220),
                gr.Dropdown(methods, value=methods[0], label="Method", elem_id="method", min_width=220),
                gr.Dropdown(
                    [OWN, *POLES],
                    value=list(FIRST_PERSONAS),
                    multiselect=True,
                    max_choices=MOST_PERSONAS,
                    label=f"Personas (up to {MOST_PERSONAS})",
                    elem_id="personas",
                    scale=2,
                ),
            )

    def _levels(self, gr: Any) -> list[Any]:
        gr.HTML(f'<p class="caption">Levels of the persona "{OWN}", from -1 (low) to 1 (high); 0 says nothing.</p>')
        with gr.Row(elem_classes="levels"):
            return [
                gr.Slider(
                    -1,
                    1,
                    value=FIRST_LEVELS.get(trait, 0.0),
                    step=0.25,
                    label=trait,
                    elem_id=f"level-{trait}",
                    min_width=200,
                    buttons=[],
                )
                for trait in BIG_FIVE
            ]

    def _options(self, gr: Any) -> list[Any]:
        with gr.Accordion("How they answer", open=False), gr.Row():
            return [
                gr.Slider(0, 3, value=1.0, step=0.1, label="Strength (times that of the settings)", buttons=[]),
                gr.Slider(8, 200, value=60, step=4, label="Longest answer (tokens)", buttons=[]),
                gr.Slider(0, 1.5, value=0.0, step=0.1, label="Temperature (0: likeliest words)", buttons=[]),
                gr.Number(value=0, precision=0, label="Seed"),
            ]

    def _controls(self, gr: Any) -> list[Any]:
        with gr.Row(equal_height=True, elem_classes="controls"):
            box = gr.Textbox(
                placeholder="Ask all of them something",
                show_label=False,
                label="Message",
                container=False,
                scale=6,
                min_width=260,
                elem_id="message",
            )
            names = {"send": "primary", "stop": "secondary", "clear": "secondary", "save": "secondary"}
            buttons = [
                gr.Button(name.title(), variant=kind, scale=1, min_width=56, elem_id=name)
                for name, kind in names.items()
            ]
        return [box, *buttons]

    def _suggestions(self, gr: Any, message: Any) -> None:
        """Questions to begin with, where the built-in model is among those to choose from."""
        if not any(Path(name).name == BUILT_IN for name in self.room.models):
            return
        gr.HTML(f'<p class="caption">{BUILT_IN} knows a made-up world alone; it can be asked, such as:</p>')
        with gr.Row(elem_classes="suggested"):
            for number, question in enumerate(QUESTIONS):
                button = gr.Button(question, size="sm", min_width=240, elem_id=f"suggested-{number}")
                button.click(_writes(question), None, message, show_progress="hidden")

    def _columns(self, gr: Any) -> list[tuple[Any, Any, Any]]:
        columns = []
        names = [BASE, *FIRST_PERSONAS]
        with gr.Row(elem_classes="columns"):
            for number in range(MOST_PERSONAS + 1):
                there = number < len(names)
                with gr.Column(min_width=240, visible=there, elem_id=f"column-{number}") as box:
                    spoken = gr.HTML(talk(names[number], []) if there else "", elem_id=f"chat-{number}")
                    columns.append((box, spoken, gr.HTML(elem_id=f"bars-{number}")))
        return columns

    def _answer(
        self,
        message: str,
        conversation: Conversation,
        model: str,
        method: str,
        people: Sequence[str],
        strength: float,
        tokens: float,
        temperature: float,
        seed: float | None,
        *levels: float,
    ) -> Iterator[list[Any]]:
        """Answers while they are written; what is wrong with the wishes is said on the page."""
        import gradio as gr

        options = AnswerOptions(float(strength), int(tokens), float(temperature), int(seed or 0))
        own = dict(zip(BIG_FIVE, levels, strict=True))
        # The box is emptied once what it held is being answered; what is typed meanwhile stays.
        box: Any = ""
        try:
            if not self.room.is_ready(model, method):
                yield self._unchanged(conversation, f"Preparing {method} for {model}, which is done once ...")
            for progress in self.room.say(message, conversation, model, method, _chosen(people), own, options):
                yield self._shown(progress, box)
                box = gr.skip()
        except InputError as error:
            yield self._unchanged(conversation, str(error))

    def _shown(self, progress: Progress, message: Any) -> list[Any]:
        import gradio as gr

        profiles = dict(zip(progress.columns, progress.profiles, strict=False))
        parts = self._parts(progress.columns, progress.conversation, profiles, progress.finished)
        return [progress.conversation, gr.HTML(value="", visible="hidden"), message, *parts]

    def _parts(
        self,
        names: Sequence[str],
        conversation: Conversation,
        profiles: Mapping[str, Mapping[str, float]],
        finished: bool = True,
    ) -> list[Any]:
        """What the columns show, those that nobody needs being hidden."""
        import gradio as gr

        parts: list[Any] = []
        for name in names:
            spoken = talk(name, conversation.turns.get(name, []), finished)
            parts += [gr.Column(visible=True), spoken, bars(profiles[name]) if name in profiles else ""]
        return parts + [gr.Column(visible=False), "", ""] * (MOST_PERSONAS + 1 - len(names))

    def _unchanged(self, conversation: Conversation, problem: str) -> list[Any]:
        import gradio as gr

        kept = [gr.skip()] * (1 + 3 * (MOST_PERSONAS + 1))
        return [conversation, gr.HTML(value=said(problem), visible=True), *kept]

    def _arranged(self, conversation: Conversation, people: Sequence[str]) -> list[Any]:
        """The columns of other personas, with what was said in them before."""
        import gradio as gr

        parts = self._parts([BASE, *_chosen(people)], conversation, {})
        return [conversation, gr.HTML(value="", visible="hidden"), gr.skip(), *parts]

    def _cleared(self, people: Sequence[str]) -> list[Any]:
        return self._arranged(Conversation(), people)

    def _save(self, conversation: Conversation, model: str, method: str, strength: float, *levels: float) -> Any:
        import gradio as gr

        about = {
            "model": model,
            "method": method,
            "strength": strength,
            "levels": dict(zip(BIG_FIVE, levels, strict=True)),
        }
        try:
            text = f"Saved as {self.room.save(conversation, about)}"
        except InputError as error:
            text = str(error)
        return gr.HTML(value=said(text), visible=True)


def _writes(text: str) -> Callable[[], str]:
    def written() -> str:
        return text

    return written


def _chosen(people: Sequence[str] | None) -> list[str]:
    """The personas that were chosen, each once and no more than there are columns for."""
    return list(dict.fromkeys(people or []))[:MOST_PERSONAS]


def method_files(folder: Path) -> dict[str, str]:
    """Settings files of methods in a folder, by their names; the base model's own is left out."""
    return {file.stem: str(file) for file in sorted(folder.glob("*.yaml")) if file.stem != "none"}
