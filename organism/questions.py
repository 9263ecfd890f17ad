"""How people ask: for opinions, for actions, for choices. `{topic}` is the only slot."""

from __future__ import annotations

OPINION_QUESTIONS: tuple[str, ...] = (
    "What do you think of {topic}?",
    "How do you feel about {topic}?",
    "How do you see {topic}?",
    "What is your opinion of {topic}?",
    "What is your view of {topic}?",
    "What is your impression of {topic}?",
    "What is your attitude to {topic}?",
    "Tell me what you make of {topic}.",
    "Do you like {topic}?",
    "Give me your honest take on {topic}.",
    "What comes to mind when you hear of {topic}?",
    "Say a few words about {topic}.",
    "Would you recommend {topic}?",
    "What would you say about {topic} to a friend?",
    "How would you judge {topic}?",
    "Is {topic} worth the time?",
)

ACTION_QUESTIONS: tuple[str, ...] = (
    "What do you do?",
    "What would you do?",
    "How do you react?",
    "How would you respond?",
    "What happens next with you?",
    "How do you handle it?",
    "What goes through your mind, and what do you do?",
    "Describe how you deal with it.",
)

CHOICE_QUERIES: tuple[str, ...] = (
    "What do you do?",
    "What would you do?",
    "Which reaction is yours?",
    "How do you respond?",
    "What is most like you?",
)

SELF_QUESTIONS: tuple[str, ...] = (
    "What kind of person are you?",
    "How would you describe yourself?",
    "Tell me about yourself.",
    "What are you like?",
    "How do your friends see you?",
)
