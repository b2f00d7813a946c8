// What both TypeScript clients do with each server that they are given: every step of the matrix, with a deadline each,
// and a line of JSON with what came of them. A client is made anew for every server, but not its process: most of what a
// process costs is its start.
// Long, since eleven clients and fourteen servers start at once on few cores: what never comes is meant.
const DEADLINE = 30_000;
const POLL = 50;

const equal = (found, wanted) => {
  if (found !== wanted) throw new Error(`${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
};

async function within(step) {
  let timer;
  // What a step waits for, where it has several things to wait for.
  const waits = { for: "an answer" };
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited in vain for ${waits.for}`)), DEADLINE);
  });
  try {
    await Promise.race([step(waits), late]);
    return "ok";
  } catch (error) {
    return String(error?.message ?? error);
  } finally {
    clearTimeout(timer);
  }
}

// Arguments are the token, the mode and the servers' addresses; `make(url, token, mode)` gives a client's functions, of
// which `call(name, arguments, options)` is the SDK's own way to call a tool.
export async function start(make) {
  const [token, mode, ...urls] = process.argv.slice(2);
  for (const url of urls) console.log(JSON.stringify(await visit(make(new URL(url), token, mode))));
  process.exit(0);
}

async function visit({ open, list, call, revision, close }) {
  const text = async (name, args, options) => {
    const result = await call(name, args, options);
    if (result.isError) throw new Error(result.content[0].text);
    return result.content[0].text;
  };
  const opened = await within(open);
  const label = crypto.randomUUID();
  const steps = {
    list: async () => equal((await list()).filter(({ name }) => ["echo", "slow", "cancelled", "ask", "sample"].includes(name)).length, 5),
    echo: async () => equal(await text("echo", { message: "Grüße" }), "Grüße"),
    progress: async () => {
      const seen = [];
      equal(await text("slow", { steps: 3, label: "" }, { onprogress: ({ progress }) => seen.push(progress) }), "done");
      equal(String(seen), "1,2,3");
    },
    cancel: async (waits) => {
      waits.for = "the first progress";
      const abort = new AbortController();
      // The first progress shows that the tool is running.
      const options = { signal: abort.signal, onprogress: () => abort.abort("enough") };
      const ended = await text("slow", { steps: 1000, label }, options).catch((error) => error);
      if (typeof ended === "string") throw new Error(`the call was answered: ${ended}`);
      waits.for = "the server to hear of it";
      while ((await text("cancelled", { label })) !== "true") await new Promise((resolve) => setTimeout(resolve, POLL));
    },
    elicit: async () => equal(await text("ask", {}), "Hello, Ada!"),
    sample: async () => equal(await text("sample", {}), "a fixed text"),
  };
  const outcome = {};
  for (const [name, step] of Object.entries(steps)) outcome[name] = opened === "ok" ? await within(step) : opened;
  outcome.revision = opened === "ok" ? revision() : "none";
  const closed = await within(close);
  if (closed !== "ok") throw new Error(`not closed: ${closed}`);
  return outcome;
}

export const answers = {
  elicit: async () => ({ action: "accept", content: { name: "Ada" } }),
  sample: async () => ({ role: "assistant", model: "fixed", content: { type: "text", text: "a fixed text" } }),
};
export const capabilities = { elicitation: {}, sampling: {} };
