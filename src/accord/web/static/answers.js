/** What can be answered, and how that is called. */

export const letter = (place) => String.fromCharCode(65 + place);

/** The answers that one key or button gives. */
export const ANSWERS = {
  left: { choice: "left", strength: null },
  right: { choice: "right", strength: null },
  left3: { choice: "left", strength: 3 },
  left2: { choice: "left", strength: 2 },
  left1: { choice: "left", strength: 1 },
  tie: { choice: "tie", strength: null },
  right1: { choice: "right", strength: 1 },
  right2: { choice: "right", strength: 2 },
  right3: { choice: "right", strength: 3 },
  both_bad: { choice: "both_bad", strength: null },
  up: { desirable: true },
  down: { desirable: false },
};

const SIDES = { left: "A", right: "B" };
const STRENGTHS = { 1: "is slightly better", 2: "is better", 3: "is much better" };

/** An answer in words. @param {Object | null} answer  null: the question was skipped */
export function inWords(answer) {
  if (answer === null) return "Skipped";
  if ("desirable" in answer) return answer.desirable ? "Good" : "Not good";
  if ("ranking" in answer) return answer.ranking.map((group) => group.map(letter).join(" = ")).join(" > ");
  if (answer.choice === "tie") return "Tie";
  if (answer.choice === "both_bad") return "Both bad";
  return `${SIDES[answer.choice]} ${STRENGTHS[answer.strength ?? 2]}`;
}

/** The name in ANSWERS of an answer that was given; undefined for a ranking. */
export function nameOf(answer) {
  const same = (other) => Object.entries(other).every(([key, value]) => (answer?.[key] ?? null) === value);
  return Object.keys(ANSWERS).find((name) => same(ANSWERS[name]));
}

/** The right answer to a control question in words, by the form and the place that the server names. */
export function rightAnswer(form, best) {
  if (form === "thumb") return best === 1 ? "Good" : "Not good";
  if (best < 0) return "Tie";
  return form === "ranking" ? `${letter(best)} comes first` : `${letter(best)} is better`;
}
