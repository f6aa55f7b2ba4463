// The smallest client: a guest or member, one submission, its live events, its works.
const $ = (id) => document.getElementById(id);
let session = null;
let job = null;

async function api(method, path, body, headers = {}) {
  const reply = await fetch(path, {
    method,
    headers: {
      ...(session ? { authorization: `Bearer ${session.access_token}` } : {}),
      ...(body ? { "content-type": "application/json" } : {}),
      ...headers,
    },
    body: body ? JSON.stringify(body) : undefined,
  });
  const text = await reply.text();
  const answer = text ? JSON.parse(text) : {};
  if (!reply.ok) throw answer;
  return answer;
}

async function signIn() {
  const kept = localStorage.getItem("atelier.refresh");
  try {
    if (!kept) throw new Error("new here");
    session = await api("POST", "/v1/auth/refresh", { refresh_token: kept });
  } catch {
    const login = `studio-${crypto.randomUUID().slice(0, 8)}`;
    const password = crypto.randomUUID();
    session = await api("POST", "/v1/auth/signup", { login_id: login, password });
  }
  localStorage.setItem("atelier.refresh", session.refresh_token);
  setTimeout(signIn, (session.expires_in - 60) * 1000);
  await showBalance();
}

async function showBalance() {
  const balance = await api("GET", "/v1/credits");
  const held = balance.held ? ` (+${balance.held} held)` : "";
  $("who").textContent = `${session.user.name} · ${balance.available}${held} credits`;
}

async function showTemplates() {
  const { data } = await api("GET", "/v1/templates?limit=100");
  const simple = data.filter((template) => template.id !== "general-chat"); // has its own face
  $("templates").replaceChildren(...simple.map((template) =>
    new Option(`${template.title.ko} · ${template.title.en}`, template.id)));
  $("templates").value = "eats-advert";
}

function show(event) {
  $("progress").value = event.progress;
  const item = event.item;
  $("step").textContent = [event.type, item?.work_type, item?.step].filter(Boolean).join(" · ");
  if (event.preview && item) picture(item.work_id).src = event.preview;
}

function picture(workId) {
  const id = `work-${workId}`;
  if (!$(id)) {
    const image = new Image();
    image.id = id;
    $("works").append(image);
  }
  return $(id);
}

function refuse(problem) {
  const faults = (problem.errors ?? []).map((fault) => `${fault.field}: ${fault.message}`);
  $("problem").textContent = [problem.detail ?? String(problem), ...faults].join("\n");
}

async function showWork(workId) {
  const work = await api("GET", `/v1/works/${workId}`);
  if (["pending", "processing"].includes(work.state)) {
    setTimeout(() => showWork(workId).catch(refuse), 300);
    return;
  }
  if (work.state !== "completed") return;
  const download = await api("GET", `/v1/works/${workId}/download`);
  if (work.type === "promotional_image") {
    picture(workId).src = download.url;
    return;
  }
  const copy = document.createElement("pre");
  const written = JSON.parse(work.recipe_json).copy ?? {};
  copy.textContent = [written.headline, written.subline, "", written.body, "",
    written.call_to_action, (written.hashtags ?? []).join(" ")].join("\n");
  $("works").append(copy);
}

async function finish() {
  job = await api("GET", job.status_url);
  $("cancel").hidden = true;
  $("make").disabled = false;
  for (const item of job.items) {
    if (item.state === "succeeded") await showWork(item.work_id);
    if (item.error_message) refuse({ detail: `${item.work_type}: ${item.error_message}` });
  }
  const credits = job.credits;
  $("receipt").textContent = `quoted ${credits.quoted} · captured ${credits.captured} · released ${credits.released}`;
  await showBalance();
}

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData($("form"));
  $("problem").textContent = $("receipt").textContent = $("step").textContent = "";
  $("works").replaceChildren();
  $("job").hidden = false;
  $("make").disabled = true;
  try {
    job = await api("POST", "/v1/jobs", {
      template_id: form.get("template"),
      variations: Number(form.get("variations")),
      inputs: { text: form.get("text"), aspect: form.get("aspect") },
    }, { "idempotency-key": crypto.randomUUID() });
  } catch (problem) {
    $("make").disabled = false;
    refuse(problem);
    return;
  }
  $("cancel").hidden = false;
  await showBalance();
  follow(0);
});

// Shows the job until its end, from the event after `seen` on.
function follow(seen) {
  const source = new EventSource(`${job.events_url}&after_sequence=${seen}`);
  for (const type of ["queued", "started", "progress", "retrying", "item_finished", "finished"]) {
    source.addEventListener(type, (message) => {
      seen = message.lastEventId;
      show(JSON.parse(message.data));
    });
  }
  source.addEventListener("finished", () => { source.close(); finish().catch(refuse); });
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return; // it connects again by itself
    setTimeout(() => goOn(seen).catch(refuse), 1000);
  };
}

// The ticket of the stream is over, or it was refused: reading the job gives a fresh one.
async function goOn(seen) {
  job = await api("GET", job.status_url);
  if (["succeeded", "failed", "canceled", "expired"].includes(job.state)) await finish();
  else follow(seen);
}

$("cancel").addEventListener("click", () => api("POST", job.cancel_url).catch(refuse));

signIn().then(showTemplates).catch(refuse);
