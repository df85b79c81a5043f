/** Reading what two models say while they say it. */

/** Milliseconds without a sign of the server, which gives one every ten seconds, until it is held to be gone. */
const SILENCE = 45_000;

/**
 * What happens after a message was sent: the server's events, one by one, as the API describes them. Two more may come
 * as the last: `refused` with a `status` and `why`, and `lost` where the connection ended before the answers did.
 */
export async function* happenings(path, body, csrf) {
  const gone = new AbortController();
  let timer = setTimeout(() => gone.abort(), SILENCE);
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { "content-type": "application/json", "x-csrf-token": csrf },
      body: JSON.stringify(body),
      redirect: "error",
      signal: gone.signal,
    });
    if (!answer.ok) {
      yield { event: "refused", status: answer.status, why: await reason(answer) };
      return;
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      clearTimeout(timer);
      timer = setTimeout(() => gone.abort(), SILENCE);
      const lines = (rest + read.value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line) yield JSON.parse(line);
    }
    yield { event: "lost" };
  } catch {
    yield { event: "lost" };
  } finally {
    clearTimeout(timer);
    gone.abort();
  }
}

async function reason(answer) {
  try {
    return String((await answer.json()).detail);
  } catch {
    return "the server does not answer";
  }
}
