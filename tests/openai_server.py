"""A small real HTTP server of OpenAI's form, for tests: what it answers is a function."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """`answer`: (path, body) -> (status, JSON or bytes[, headers]), one at a time, held back for `delay` seconds.

    asked  (path, key, body) of every question, in the order of their coming
    """

    def __init__(self, answer, delay=0.0):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer, self.delay, self.asked = answer, delay, []
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        with self.server.lock:
            self.server.asked.append((self.path, self.headers.get("Authorization"), body))
            status, said, *headers = self.server.answer(self.path, body)
        time.sleep(self.server.delay)
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **dict(*headers)}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:
            pass  # who asked has given up waiting

    do_GET = do_POST  # nobody gets: a question that is sent on without its body would

    def log_message(self, *_):
        pass


def start(answer, **options):
    """A server that answers; `stop` it."""
    server = Server(answer, **options)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server


def stop(server):
    server.shutdown()
    server.server_close()


class ModelServer:
    """The `answer` of a server with a real model, in vLLM's form. What it lacks makes it another server:

    chat_only  has no /completions
    knows      fields of a question beside OpenAI's first ones; any other is refused, and named (None: all are taken)
    bare       tells texts and nothing more
    most       most samples a question, however many are asked for
    """

    def __init__(self, sampler, *, chat_only=False, knows=None, bare=False, most=1000):
        self.sampler, self.chat_only, self.knows, self.bare, self.most = sampler, chat_only, knows, bare, most

    def __call__(self, path, body):
        chat = path == "/v1/chat/completions"
        if self.chat_only and not chat:
            return 404, {"detail": "Not Found"}
        basic = {"model", "messages", "prompt", "n", "max_tokens", "temperature", "top_p", "stop"}
        unknown = set() if self.knows is None else body.keys() - basic - self.knows
        if unknown:
            return 400, {"error": {"message": f"Unrecognized request argument supplied: {min(unknown)}"}}
        settings = {name: body[name] for name in ("temperature", "top_p", "top_k", "min_p", "seed") if name in body}
        n, asked = min(body.get("n", 1), self.most), body["messages" if chat else "prompt"]
        drawn = self.sampler.sample([asked], n=n, max_new_tokens=body["max_tokens"], **settings)
        ordered = sorted(drawn, key=lambda sampled: sampled.sample)
        return 200, {"choices": [self._choice(sampled, chat, body) for sampled in ordered]}

    def _choice(self, sampled, chat, body):
        said = {"message": {"role": "assistant", "content": sampled.text}} if chat else {"text": sampled.text}
        choice = {"finish_reason": "stop" if sampled.finished else "length", **said}
        if body.get("logprobs") and not self.bare:
            told = [{"token": "?", "logprob": logp} for logp in sampled.logps]
            choice["logprobs"] = {"content": told} if chat else {"token_logprobs": sampled.logps}
        if body.get("return_token_ids") and not self.bare:
            choice["token_ids"] = sampled.tokens
        return choice
