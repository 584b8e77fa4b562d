/* The REST API, signed in by the session's cookie. Every failure is an ApiError. */

export const NETWORK = "NETWORK";

export class ApiError extends Error {
  constructor({ status = 0, code = NETWORK, message = "", details = {}, retryAfterMs = 0 } = {}) {
    super(message || code);
    Object.assign(this, { status, code, details, retryAfterMs });
  }
}

export class Api {
  #base;
  #csrfCookie;
  #cookies;
  #fetch;
  #onSignedOut;

  constructor({
    base = "/api/v1",
    csrfCookie = "csrftoken",
    cookies = () => document.cookie,
    fetch = (...request) => globalThis.fetch(...request),
    onSignedOut = () => {},
  } = {}) {
    this.#base = base;
    this.#csrfCookie = csrfCookie;
    this.#cookies = cookies;
    this.#fetch = fetch;
    this.#onSignedOut = onSignedOut;
  }

  me = () => this.json("GET", "/me");
  providers = () => this.json("GET", "/providers");
  conversation = (id) => this.json("GET", `/conversations/${id}`);
  conversations = (cursor) => this.json("GET", `/conversations${query({ cursor })}`);
  rename = (id, title) => this.json("PATCH", `/conversations/${id}`, { title });
  remove = (id) => this.json("DELETE", `/conversations/${id}`);
  messages = (id, cursor, limit) => this.json("GET", `/conversations/${id}/messages${query({ cursor, limit })}`);
  generation = (id) => this.json("GET", `/generations/${id}`);
  stop = (id) => this.json("POST", `/generations/${id}/stop`);
  regenerate = (message, choice, key) => this.#start(`/messages/${message}/regenerate`, choice, key);
  edit = (message, text, choice, key) => this.#start(`/messages/${message}/edit`, { message: text, ...choice }, key);
  proceed = (message, key) => this.#start(`/messages/${message}/continue`, {}, key);

  async json(method, path, body, headers = {}) {
    const response = await this.open(method, path, { body, headers: { Accept: "application/json", ...headers } });
    if (response.status === 204) return null;
    try {
      return await response.json();
    } catch {
      throw new ApiError({ status: response.status });
    }
  }

  /** The answer itself, for streams; its status is good. */
  async open(method, path, { body, headers = {}, signal } = {}) {
    const request = { method, headers: { ...headers }, signal, credentials: "same-origin", cache: "no-store" };
    if (method !== "GET") request.headers["X-CSRFToken"] = this.#csrfToken();
    if (body !== undefined) {
      request.headers["Content-Type"] = "application/json";
      request.body = JSON.stringify(body);
    }
    let response;
    try {
      response = await this.#fetch(this.#base + path, request);
    } catch (error) {
      throw new ApiError({ message: error.message });
    }
    if (response.ok) return response;
    if (response.status === 401) this.#onSignedOut();
    throw await refusal(response);
  }

  /** Starts a generation and returns its `start` fields, without waiting for it. */
  #start(path, body, key) {
    return this.json("POST", path, body, { Prefer: "respond-async", "Idempotency-Key": key });
  }

  #csrfToken() {
    for (const cookie of this.#cookies().split(";")) {
      const [name, value] = cookie.trim().split("=");
      if (name === this.#csrfCookie) return decodeURIComponent(value);
    }
    return "";
  }
}

const query = (parameters) => {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null);
  return given.length ? `?${new URLSearchParams(given)}` : "";
};

async function refusal(response) {
  const seconds = Number(response.headers.get("Retry-After"));
  const body = await response.json().catch(() => ({}));
  return new ApiError({
    status: response.status,
    code: typeof body.code === "string" ? body.code : `HTTP_${response.status}`,
    message: typeof body.error === "string" ? body.error : "",
    details: body.details ?? {},
    retryAfterMs: Number.isFinite(seconds) ? seconds * 1000 : 0,
  });
}
