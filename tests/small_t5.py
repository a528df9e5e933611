"""A tokenizer in the manner of T5's, trained on captions on the spot."""

from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from whatwhere.scenes.source import Scenes
from whatwhere.scenes.world import World

VOCABULARY = 120


def save_tokenizer(folder: Path) -> str:
    """Unigram pieces of the captions of 60 scenes, as transformers reads them; the folder."""
    pairs = Scenes(World(height=32, width=32), count=60)
    captions = [caption for i in range(len(pairs)) for caption in pairs[i].captions]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=VOCABULARY, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder)
    return str(folder)
