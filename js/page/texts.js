// What the pack's areas in nodes say. Each text has a name; `{count}` and the like are filled in.

const TEXTS = {
  "previousImage": "Previous image",
  "nextImage": "Next image",
  "openImage": "Open image",
  "tiles.before": "Run the workflow to see the words here.",
  "tiles.all": "Show all {count}",
  "tiles.fewer": "Show the strongest {count}",
  "tiles.enlarge": "Click to enlarge",
  "tiles.back": "Back to all words",
  "tiles.stronger": "The next stronger word",
  "tiles.weaker": "The next weaker word",
  "tiles.idle": "can go",
  "tiles.part": "· {part} of {parts}",
  "tiles.noChange": "no change",
  "tiles.mostChange": "most",
  "tiles.low": "lowest",
  "tiles.high": "highest",
  "tiles.sharedScale": "How much attention a word gets, where it gets the most. One scale for all words: a word without colour was hardly looked at.",
  "tiles.ownScale": "Each word has its own scale, so colours of different words cannot be compared.",
  "tiles.effectScale": "How much each word changed the image, and where. One scale for all words.",
  "report.before": "Run the workflow to see what became of your prompt.",
  "report.well": "As far as the attention shows, no word was ignored and no two things were mixed up.",
  "report.page": "Open as image",
  "report.pageHint": "The whole report on one page, with a heatmap for every word.",
  "report.why": "Why?",
  "report.words": "All words, the most looked at first",
  "report.wordsHint": "Attention in the tenth of the image where the word gets the most.",
  "report.wordsHintFiller": "Attention in the tenth of the image where the word gets the most. The line marks what filler words such as “the” get.",
  "report.remedy.weight": "Put {text} into the prompt",
  "report.remedy.first": "Put “{word}” first",
  "report.remedy.split": "Put a comma between “{word}” and “{other}”",
  "report.remedy.remove": "Remove {words}",
  "report.apply": "Changes your prompt. Ctrl+Z takes it back.",
  "report.copy": "Copies it: the text of your prompt is not in a field that this node can reach.",
  "report.done": "Done. Ctrl+Z takes it back.",
  "report.copied": "Copied: {text}",
  "report.type": "Type {text} into your prompt",
  "report.runAgain": "The prompt has changed. Run the workflow again to see what it does.",
};

/** The text of a name, with `values` filled in. */
export function say(name, values = {}) {
  return TEXTS[name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
}
