/** One page of a person and campaign at a time: two would ask the same questions and send the same votes. */

/** Milliseconds for which a page that is just going may still be there: this one may be its reload. */
const GOING = 700;

/**
 * Waits until this page is the one.
 * @param {string} name
 * @param {boolean} insist  end another page's turn
 * @returns {Promise<{lost: Promise<void>} | null>}  null: another page has its turn, and goes on
 */
export async function turn(name, insist) {
  if (!navigator.locks) return { lost: new Promise(() => {}) }; // the server takes the same vote twice as one
  for (;;) {
    const mine = await ask(name, insist ? { steal: true } : { signal: AbortSignal.timeout(GOING) });
    if (mine || insist) return mine;
    const { held } = await navigator.locks.query();
    if (held.some((lock) => lock.name === name)) return null; // else the browser is busy: nobody has it yet
  }
}

function ask(name, how) {
  return new Promise((resolve) => {
    const held = navigator.locks.request(name, how, () => new Promise(() => resolve({ lost: held.catch(() => {}) })));
    held.catch(() => resolve(null));
  });
}
