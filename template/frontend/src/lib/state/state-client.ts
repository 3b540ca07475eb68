/** Requests to `/api/state/{workspace}/{user}`, and the meaning of their answers. */
import { isRecord, parseJson } from "./definition";
import { PersistenceError } from "./errors";

const PATH = "/api/state";
const TIMEOUT_MS = 30_000;
// Browsers refuse keepalive requests with more than 64 KiB in all.
const MAX_KEEPALIVE_BYTES = 60_000;
const RETRIED_STATUSES: readonly number[] = [408, 425, 429];

/** A state on the server; null, with version 0, if there is none. */
export interface RemoteState {
  state: unknown;
  version: number;
}

export type Outcome =
  | { kind: "done"; version: number }
  /** The server has another version than the expected one. */
  | { kind: "overtaken" }
  /** The server has a state with a later timestamp, or finds this one too old. */
  | { kind: "outdated" };

/**
 * Return the address of a state.
 *
 * @throws TypeError If an id cannot be a segment of a path.
 */
export function stateUrl(base: string, scope: readonly [string, string]): string {
  for (const id of scope) {
    if (id === "" || id.length > 200 || id === "." || id === ".." || id.includes("/")) {
      const expected = "1 to 200 characters without a slash, and neither '.' nor '..'";
      throw new TypeError(
        `The id '${id}' in the scope cannot be part of an address: use ${expected}.`,
      );
    }
  }
  return [base.replace(/\/$/, "") + PATH, ...scope.map(encodeURIComponent)].join("/");
}

/**
 * A client of one state.
 *
 * Each request rejects with a PersistenceError if it is useless to repeat it, and with another
 * error if the server may answer later.
 */
export class StateClient {
  constructor(readonly url: string) {}

  async fetch(): Promise<RemoteState> {
    const response = await this.#request("GET", {});
    if (response.status === 404) return { state: null, version: 0 };
    return { state: await response.json(), version: versionOf(response) };
  }

  /** Save a state over the expected version, 0 for none, or over any with null. */
  async save(state: object, expected: number | null): Promise<Outcome> {
    const response = await this.#request("POST", conditionsOf(expected), JSON.stringify(state));
    return outcomeOf(response, () => versionOf(response));
  }

  async delete(expected: number | null): Promise<Outcome> {
    return outcomeOf(await this.#request("DELETE", conditionsOf(expected)), () => 0);
  }

  async #request(
    method: string,
    conditions: Record<string, string>,
    body?: string,
  ): Promise<Response> {
    const response = await fetch(this.url, {
      method,
      headers: { ...conditions, ...(body && { "Content-Type": "application/json" }) },
      body: body ?? null,
      cache: "no-store",
      keepalive: method !== "GET" && new Blob([body ?? ""]).size <= MAX_KEEPALIVE_BYTES,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const { status } = response;
    const isMissing = status === 404 && method !== "POST";
    if (response.ok || status === 409 || status === 412 || (isMissing && isProblem(response)))
      return response;
    if (isMissing || status >= 500 || RETRIED_STATUSES.includes(status)) {
      throw new Error(`The server answered with status ${status}.`);
    }
    throw await toError(response);
  }
}

function conditionsOf(expected: number | null): Record<string, string> {
  if (expected === null) return {};
  return expected === 0 ? { "If-None-Match": "*" } : { "If-Match": `"${expected}"` };
}

function outcomeOf({ status }: Response, version: () => number): Outcome {
  if (status === 412) return { kind: "overtaken" };
  return status === 409 ? { kind: "outdated" } : { kind: "done", version: version() };
}

function versionOf(response: Response): number {
  // Proxies that compress weaken the tag.
  const match = /^(?:W\/)?"(\d+)"$/.exec(response.headers.get("ETag") ?? "");
  if (!match) throw new Error("The server did not send a version as ETag.");
  return Number(match[1]);
}

/** Return whether the service itself has answered, not a proxy without the service. */
function isProblem(response: Response): boolean {
  return response.headers.get("Content-Type")?.startsWith("application/problem+json") ?? false;
}

async function toError(response: Response): Promise<PersistenceError> {
  const problem = parseJson(await response.text());
  const detail =
    isRecord(problem) && typeof problem["detail"] === "string" ? problem["detail"] : "";
  const message = `The server answered with status ${response.status}. ${detail}`.trim();
  if (response.status === 401 || response.status === 403)
    return new PersistenceError("refused", message);
  return new PersistenceError(response.status === 413 ? "too_large" : "invalid", message);
}
