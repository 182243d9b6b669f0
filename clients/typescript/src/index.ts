/**
 * Client of a Redoubt appliance for Node. Types and paths come from the appliance's own
 * OpenAPI document; connections are TLS 1.3 under the one CA that `redoubt-audit trust`
 * wrote, and show the bank's certificate.
 */
import { readFileSync } from "node:fs";
import { Agent, request as send } from "node:https";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import createClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type { components, paths } from "./schema.js";
export type Problem = components["schemas"]["ProblemBody"];
export type Introspection = components["schemas"]["Introspection"];
export type MetadataTaken = components["schemas"]["MetadataTaken"];
export type Redoubt = Client<paths>;

/** Where an appliance is, whom to trust, and who is asking. Files are PEM. */
export interface Connection {
  /** `https://host:port` */
  url: string;
  /** The file `ca.pem` of the folder that `redoubt-audit trust` wrote. */
  ca: string;
  /** The client certificate, leaf first; without it only evidence is served. */
  cert?: string;
  /** Its key. */
  key?: string;
}

/** The appliance refused: `problem.code` is stable, `problem.detail` says how to mend it. */
export class Refused extends Error {
  constructor(
    readonly problem: Problem,
    /** Seconds after which to try again, where that helps. */
    readonly retryAfter?: number,
  ) {
    super(`${problem.code}: ${problem.detail}`);
  }
}

/** Opens a client. Nothing is sent until it is used. */
export function connect(connection: Connection): Redoubt {
  return createClient<paths>({ baseUrl: connection.url, fetch: pinned(connection) });
}

/** The data of a successful reply; anything else is thrown as {@link Refused}. */
export async function answer<T>(
  reply: Promise<{ data?: T; error?: unknown; response: Response }>,
): Promise<T> {
  const { data, error, response } = await reply;
  if (response.ok) return data as T;
  const seconds = Number(response.headers.get("retry-after"));
  throw new Refused(error as Problem, seconds > 0 ? seconds : undefined);
}

/** What is said of a session token, as JSON. Other forms: send their type as `accept`. */
export function introspected(client: Redoubt, token: string): Promise<Introspection> {
  const reply = client.POST("/api/v1/token/introspect", {
    body: { token },
    bodySerializer: (body) => new URLSearchParams({ token: body.token }),
    headers: {
      accept: "application/json",
      "content-type": "application/x-www-form-urlencoded",
    },
  });
  return answer(reply) as Promise<Introspection>;
}

/** Hands in a FIDO metadata BLOB, as its service signed it. */
export function takeMetadata(client: Redoubt, blob: string): Promise<MetadataTaken> {
  const reply = client.PUT("/api/v1/admin/metadata", {
    body: blob,
    bodySerializer: (body) => body,
    headers: { "content-type": "application/jose" },
  });
  return answer(reply);
}

/** `fetch` that trusts one CA alone. Bodies of replies are streamed. */
export function pinned(connection: Connection): (request: Request) => Promise<Response> {
  const read = (path: string | undefined) => path && readFileSync(path);
  const agent = new Agent({
    ca: readFileSync(connection.ca),
    cert: read(connection.cert),
    key: read(connection.key),
    minVersion: "TLSv1.3",
    keepAlive: true,
  });
  return async (request) => {
    const body = Buffer.from(await request.arrayBuffer());
    const { method, signal } = request;
    const headers = Object.fromEntries(request.headers);
    return new Promise((resolve, reject) => {
      const sent = send(request.url, { agent, method, headers, signal }, (reply) => {
        const status = reply.statusCode ?? 0;
        const headers = Object.entries(reply.headers).map(([name, value]) => [name, String(value)]);
        const stream = Readable.toWeb(reply) as ReadableStream<Uint8Array> as BodyInit;
        resolve(new Response(status === 204 ? null : stream, {
          status,
          headers: headers as [string, string][],
        }));
      });
      sent.on("error", reject);
      sent.end(body);
    });
  };
}
