// Words that carry grammar, not content: FILLERS of hrv/prompt/fillers.py (a test holds the two together).

export const FILLERS = new Set(
  `
  a about above across after against all along also am among an and another any are around as at back be been before
  behind being below beside besides between both bottom but by did do does down each every for from front had has
  have having he her here hers him his i in inside into is it its just left many me middle more most much my near
  next no nor not of off on only onto or other our out outside over right she side so some than that the their them
  then there these they this those through to too top under up us very was we were what when where which while who
  whom with without you your`
    .trim()
    .split(/\s+/),
);
