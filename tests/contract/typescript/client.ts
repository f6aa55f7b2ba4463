// What a frontend writes with the generated types; it is compiled, never run.
import createClient from "openapi-fetch";
import type { components, paths } from "./api";

type Job = components["schemas"]["Job"];
type Problem = components["schemas"]["Problem"];

const api = createClient<paths>({ baseUrl: "http://localhost:8080" });

export async function advert(text: string, token: string): Promise<Job | Problem> {
  const { data, error } = await api.POST("/v1/jobs", {
    params: { header: { "Idempotency-Key": crypto.randomUUID(), Prefer: "wait=30" } },
    body: { category: "eats", inputs: { text, aspect: "3:4" } },
    headers: { authorization: `Bearer ${token}` },
  });
  return error ?? data;
}

export async function progress(id: string, token: string): Promise<number | undefined> {
  const { data } = await api.GET("/v1/jobs/{job_id}", {
    params: { path: { job_id: id }, query: { fields: ["progress", "items.state"] } },
    headers: { authorization: `Bearer ${token}` },
  });
  return data?.progress;
}

export function explain(problem: Problem): string {
  switch (problem.code) {
    case "insufficient_credits":
      return `${problem.details?.["required"]} credits are needed`;
    case "invalid_argument":
      return (problem.errors ?? []).map((fault) => `${fault.field}: ${fault.message}`).join("\n");
    default:
      return problem.detail;
  }
}

export async function titles(token: string): Promise<string[]> {
  const found: string[] = [];
  let after: string | undefined;
  do {
    const { data } = await api.GET("/v1/works", {
      params: { query: { limit: 100, state: "completed", ...(after ? { after } : {}) } },
      headers: { authorization: `Bearer ${token}` },
    });
    if (!data) break;
    found.push(...data.data.map((work) => work.title));
    after = data.has_more ? data.next_cursor : undefined;
  } while (after);
  return found;
}

// @ts-expect-error: there is no such state
export const wrong: Job["state"] = "done";
