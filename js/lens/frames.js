// Where word maps come from: the payload of the last run, and the server for other heads and parts of the schedule.

const WORDS_AT_ONCE = 2; // so that an answer takes a few hundredths of a second
const KEPT_SETS = 12;

/** Bytes of a base64 text. */
function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

/** Packed maps (see hrv/look/lens.py) as [{map: Float32Array, low, high, score}]. */
export function unpack(packed, height, width) {
  const data = bytes(packed.maps);
  return packed.low.map((low, word) => {
    const map = new Float32Array(height * width);
    const step = (packed.high[word] - low) / 255;
    for (let i = 0, from = word * map.length; i < map.length; i++) map[i] = low + step * data[from + i];
    return { map, low, high: packed.high[word], score: packed.score[word], isPlace: packed.places?.includes(word) ?? false };
  });
}

/** The maps of one picture for one choice of heads and steps; words that have not come yet are undefined. */
export class MapSet {
  /** asked: places of words that are not in the prompt. */
  constructor(names, asked = []) {
    this.asked = new Set(asked);
    this.words = new Array(names.length);
    this.source = "";
  }

  get complete() {
    for (let i = 0; i < this.words.length; i++) if (!this.words[i]) return false;
    return true;
  }

  /** The largest value of all words of the prompt that have come. */
  get peak() {
    return this.words.reduce((peak, word, i) => (word && !this.asked.has(i) ? Math.max(peak, word.high) : peak), 0);
  }
}

/** Answers which maps a view shows, from memory where they are, else from the server.
 *
 *  payload: what the node sent after its run. ask(question): resolves to the server's answer, or throws Error
 *  with words for the user. */
export class Frames {
  constructor(payload, ask) {
    this.payload = payload;
    this.ask = ask;
    this.sets = new Map();
    this.current = 0; // number of the newest request: an older one gives up
    payload.frames.forEach((frame, picture) => {
      if (!frame.maps) return;
      const set = new MapSet(frame.names, frame.asked);
      set.words = unpack(frame, ...frame.grid);
      set.source = frame.source;
      set.said = payload.said;
      set.given = true;
      this.sets.set(key({ picture }), set);
      frame.maps = ""; // the bytes are not needed twice
    });
  }

  frame(picture) {
    return this.payload.frames[picture];
  }

  /** The set for a choice {picture, concept, percent, bin}, as complete as it is now. */
  set(choice) {
    const name = key(choice);
    let set = this.sets.get(name);
    if (!set) {
      set = new MapSet(this.frame(choice.picture).names, this.frame(choice.picture).asked);
      this.sets.set(name, set);
      this.forget(name);
    }
    return set;
  }

  /** Asks for the words that are missing, those in `first` before the others; `came()` is called as they arrive. */
  async complete(choice, first, came) {
    const request = ++this.current;
    const set = this.set(choice);
    const { names, grid } = this.frame(choice.picture);
    const order = [...new Set([...first, ...names.keys()])];
    for (;;) {
      const words = order.filter((word) => !set.words[word]).slice(0, WORDS_AT_ONCE);
      if (!words.length || request !== this.current) return;
      const answer = await this.ask({
        id: this.payload.id,
        picture: choice.picture,
        words,
        ...(choice.concept ? { concept: choice.concept, percent: choice.percent } : {}),
        ...(choice.bin === null || choice.bin === undefined ? {} : { time_bin: choice.bin }),
      });
      unpack(answer, ...grid).forEach((word, i) => (set.words[words[i]] = word));
      set.source = answer.source;
      set.said = answer.said;
      if (request === this.current) came();
    }
  }

  /** Nothing more is asked for what was asked last. */
  stop() {
    this.current++;
  }

  /** Stops what is being asked, and lets go of everything. */
  close() {
    this.stop();
    this.sets.clear();
  }

  forget(newest) {
    const asked = [...this.sets].filter(([name, set]) => !set.given && name !== newest);
    for (const [name] of asked.slice(0, Math.max(0, asked.length + 1 - KEPT_SETS))) this.sets.delete(name);
  }
}

function key({ picture, concept = "", percent = 0, bin = null }) {
  return JSON.stringify([picture, concept, concept ? percent : 0, bin]);
}
