// What pages do beyond what they do without a script. Everything is asked for by an attribute of the page:
//   body[data-changes=URL]      a stream of changes; after one, elements with `data-live` and an id are read anew
//   [data-live=URL]             is read from that page rather than from the one that is shown
//   [data-gone=URL]             where to go when the page that is shown is no more
//   form[data-search=ID]        is sent while one types, and the element of that id is replaced by the answer's
//   button[data-copy=ID]        copies the text of an element
//   [data-load=URL]             is replaced, once the page is there, by the element of the same id of that one, which takes its time
//   [data-stream=URL]           gets the lines of an answer that does not end, also after it broke off
//   form[data-once]             is sent once, however often its button is pressed
//   [data-field=NAME]           says what is wrong with a field: that one is marked, and has the focus
//   input[data-all=NAME]        ticks all boxes of a name
//   form[data-play=ID]          is sent, and what comes of it appears in the element of that id as it comes
//   iframe[data-app=URL]        shows a server's own HTML, and is told the result at that address
'use strict';

const said = document.getElementById('said');
const say = (words) => { if (said) said.textContent = words; };
const soon = (wait, act) => { let timer; return () => { clearTimeout(timer); timer = setTimeout(act, wait); }; };

async function fetched(url, signal, further) {
  const answer = await fetch(url, { credentials: 'same-origin', headers: { accept: 'text/html', ...further }, signal });
  // A session that has ended leads to the sign-in: the whole page goes there.
  if (answer.redirected && new URL(answer.url).pathname === '/sign-in') { location.reload(); return null; }
  const gone = document.querySelector('[data-gone]');
  if (answer.status === 404 && url === location.href && gone) location.assign(gone.dataset.gone);
  if (!answer.ok) return null;
  return new DOMParser().parseFromString(await answer.text(), 'text/html');
}

// Forms carry another text each time a page is made; that alone is no change.
const plain = (element) => element.outerHTML.replace(/name="csrf" value="[^"]*"/g, '').replace(/ (open|hidden)=""/g, '');
const isBusy = (element) => {
  const active = document.activeElement;
  if (active && active !== document.body && element.contains(active) && active.matches('input, textarea, select')) return true;
  return [...element.querySelectorAll('input, textarea, select')].some((field) =>
    field.type === 'checkbox' || field.type === 'radio' ? field.checked !== field.defaultChecked :
      field.type !== 'hidden' && field.tagName !== 'SELECT' && field.value !== field.defaultValue);
};

function replace(old, fresh) {
  const opened = [...old.querySelectorAll('details[id][open]')].map((details) => details.id);
  const focused = old.contains(document.activeElement) ? document.activeElement.id || document.activeElement.getAttribute('href') : null;
  old.replaceWith(fresh);
  for (const id of opened) document.getElementById(id)?.setAttribute('open', '');
  if (focused) (document.getElementById(focused) || fresh.querySelector(`[href="${CSS.escape(focused)}"]`))?.focus({ preventScroll: true });
  enhance(fresh);
}

let reading = false;
async function refresh() {
  if (reading || document.hidden) return;
  const live = document.querySelectorAll('[data-live][id]');
  if (!live.length) return;
  reading = true;
  try {
    const pages = new Map();
    for (const old of live) {
      const url = new URL(old.dataset.live || location.href, location.href).href;
      if (!pages.has(url)) pages.set(url, await fetched(url, undefined, { 'berth-live': '1' }));
      const fresh = pages.get(url)?.getElementById(old.id);
      if (fresh && old.isConnected && !isBusy(old) && plain(fresh) !== plain(old)) replace(old, fresh);
    }
  } catch { /* The next change reads again. */ } finally { reading = false; }
}

function listen() {
  const url = document.body.dataset.changes;
  if (!url || !document.querySelector('[data-live][id]')) return;
  const changed = soon(150, refresh);
  let source = null;
  let opened = false;
  const open = () => {
    source = new EventSource(url);
    // What changed while nobody listened is read once the stream is there again.
    source.addEventListener('open', () => { if (opened) changed(); opened = true; });
    source.addEventListener('change', changed);
  };
  // A browser has six connections to a host: a page that nobody sees takes none of them.
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) { source?.close(); source = null; } else if (!source) { open(); changed(); }
  });
  window.addEventListener('pagehide', () => source?.close());
  if (!document.hidden) open();
}

function search(form) {
  const target = form.dataset.search;
  let asking = null;
  const ask = async () => {
    asking?.abort();
    asking = new AbortController();
    const query = new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ''));
    const url = `${form.action.split('?')[0]}${query.size ? `?${query}` : ''}`;
    try {
      const page = await fetched(url, asking.signal);
      const [old, fresh] = [document.getElementById(target), page?.getElementById(target)];
      if (!old || !fresh) return;
      replace(old, fresh);
      history.replaceState(null, '', url);
      say(fresh.dataset.said || '');
    } catch (error) { if (error.name !== 'AbortError') form.submit(); }
  };
  const later = soon(120, ask);
  form.addEventListener('input', later);
  form.addEventListener('change', later);
  form.addEventListener('submit', (event) => { event.preventDefault(); ask(); });
}

function copy(button) {
  if (!navigator.clipboard && !document.queryCommandSupported?.('copy')) return;
  button.hidden = false;
  const words = button.textContent;
  button.addEventListener('click', async () => {
    const source = document.getElementById(button.dataset.copy);
    if (!source) return;
    const text = 'value' in source ? source.value : source.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without TLS there is no clipboard; what is marked can be copied by hand.
      getSelection().selectAllChildren(source);
      if (!document.execCommand('copy')) { say('Press the keys for copying'); return; }
    }
    button.textContent = 'Copied';
    say('Copied');
    setTimeout(() => { button.textContent = words; }, 1500);
  });
}

async function load(element) {
  const page = await fetched(new URL(element.dataset.load, location.href).href).catch(() => null);
  const fresh = page?.getElementById(element.id);
  if (fresh && element.isConnected) replace(element, fresh);
}

// What comes is the last lines, and then each as it is said. One that breaks off is asked for again, more and more seldom, and begins with the
// last lines anew; a page that nobody sees asks for nothing.
function stream(element) {
  const [soonest, latest] = [500, 15000];
  let [stop, timer, wait] = [null, null, soonest];
  const broken = (is) => {
    if (is === 'broken' in element.dataset) return;
    if (is) element.dataset.broken = ''; else delete element.dataset.broken;
    say(is ? 'The connection broke off. It is tried again.' : 'It goes on.');
  };
  const follow = async () => {
    clearTimeout(timer);
    if (stop || document.hidden || !element.isConnected) return;
    const own = stop = new AbortController();
    const began = Date.now();
    let again = true;
    try {
      const answer = await fetch(element.dataset.stream, { credentials: 'same-origin', signal: own.signal });
      // The page itself says what has become of the session, or of what it shows.
      if (answer.redirected) { location.reload(); return; }
      again = answer.ok || 500 <= answer.status || answer.status === 429;
      if (answer.ok) {
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let isFirst = true; ; isFirst = false) {
          const { value, done } = await reader.read();
          if (done) break;
          const [top, atEnd] = [element.scrollTop, element.scrollHeight - element.scrollTop - element.clientHeight < 40];
          if (isFirst) { element.textContent = ''; broken(false); }
          element.append(value);
          // A page is no archive: what was long ago is in the download.
          while (2000 < element.childNodes.length) element.firstChild.remove();
          element.scrollTop = atEnd ? element.scrollHeight : top;
        }
      }
    } catch { /* What has come stays. */ }
    stop = null;
    if (own.signal.aborted || !again) return;
    wait = Date.now() - began < latest ? Math.min(2 * wait, latest) : soonest;
    broken(true);
    timer = setTimeout(follow, wait);
  };
  document.addEventListener('visibilitychange', () => { if (document.hidden) stop?.abort(); else setTimeout(follow); });
  window.addEventListener('pagehide', () => stop?.abort());
  window.addEventListener('pageshow', (event) => { if (event.persisted) follow(); });
  follow();
}

// The words of a stream of events, each a JSON object.
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const all = (rest + value).split('\n\n');
    rest = all.pop();
    for (const event of all) {
      const data = event.split('\n').filter((line) => line.startsWith('data: ')).map((line) => line.slice(6)).join('\n');
      if (data) yield JSON.parse(data);
    }
  }
}

const made = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

function play(form) {
  const place = document.getElementById(form.dataset.play);
  if (!place) return;
  form.addEventListener('submit', async (event) => {
    const pressed = event.submitter;
    if (!['call', 'answer'].includes(pressed?.value)) return;
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form, pressed));
    const stop = new AbortController();
    const buttons = [...form.querySelectorAll('button')];
    buttons.forEach((button) => { button.disabled = true; });
    const list = made('ol', {});
    const cancel = made('button', { type: 'button', className: 'quiet', textContent: 'Cancel the call' });
    cancel.addEventListener('click', () => stop.abort());
    place.replaceChildren(made('section', { className: 'card said' },
      made('div', { className: 'running' }, made('h2', { textContent: 'Running…' }), cancel), list));
    list.hidden = true;
    say('Running');
    const tell = (words) => { place.replaceChildren(made('p', { className: 'error', textContent: words })); say(words); };
    try {
      const answer = await fetch(form.getAttribute('action'), {
        method: 'POST', body, credentials: 'same-origin', headers: { accept: 'text/event-stream' }, signal: stop.signal });
      if (!(answer.headers.get('content-type') || '').startsWith('text/event-stream')) {
        // Something is wrong with what was typed, or the session has ended: a page says so.
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        const fresh = page.getElementById('main');
        if (answer.redirected) { location.reload(); return; }
        if (!fresh) { tell([...page.querySelectorAll('h1, p')].map((line) => line.textContent).join(' ') || `Berth answered ${answer.status}.`); return; }
        replace(document.getElementById('main'), fresh);
        (fresh.querySelector('[aria-invalid]') || fresh.querySelector('h1'))?.focus();
        return;
      }
      let ended = false;
      for await (const one of events(answer)) {
        if (one.said !== undefined) {
          list.hidden = false;
          list.insertAdjacentHTML('beforeend', one.said);
          list.scrollTop = list.scrollHeight;
        } else if (one.ended !== undefined) {
          ended = true;
          place.innerHTML = one.ended;
          enhance(place);
          const arrived = place.querySelector('[data-arrived]');
          arrived?.focus({ preventScroll: true });
          arrived?.scrollIntoView({ block: 'nearest' });
          say(arrived?.textContent || 'Done');
        }
      }
      if (!ended) tell('The connection to Berth broke off. Whether the call took effect is not known.');
    } catch (error) {
      tell(error.name === 'AbortError' ? 'The call was cancelled.' : 'Berth does not answer. Check the connection, then try again.');
    } finally {
      buttons.forEach((button) => { button.disabled = false; });
    }
  });
}

// A server's own HTML speaks JSON-RPC by messages (MCP Apps). It is told its call and the result; it may ask for its height and for nothing else.
function app(frame) {
  const send = (message) => frame.contentWindow?.postMessage({ jsonrpc: '2.0', ...message }, '*');
  window.addEventListener('message', async ({ source, data }) => {
    if (source !== frame.contentWindow || data?.jsonrpc !== '2.0') return;
    if (data.method === 'ui/initialize') {
      const theme = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
      const [hostInfo, hostContext] = [{ name: 'berth-playground', version: '1' }, { theme, displayMode: 'inline', platform: 'web' }];
      const protocolVersion = data.params?.protocolVersion || '2026-01-26';
      send({ id: data.id, result: { protocolVersion, hostInfo, hostCapabilities: {}, hostContext } });
    } else if (data.method === 'ui/notifications/initialized') {
      const answer = await fetch(frame.dataset.app, { credentials: 'same-origin' });
      if (!answer.ok) return;
      const told = await answer.json();
      send({ method: 'ui/notifications/tool-input', params: { arguments: told.arguments } });
      send({ method: 'ui/notifications/tool-result', params: told.result });
    } else if (data.method === 'ui/notifications/size-changed') {
      const height = Number(data.params?.height);
      if (0 < height) frame.style.height = `${Math.min(Math.max(height, 60), 1200)}px`;
    } else if (data.method && data.id !== undefined) {
      send({ id: data.id, error: { code: -32601, message: 'this page does nothing for an app' } });
    }
  });
  // It may have spoken before anybody listened.
  frame.src = frame.src;
}

function enhance(root) {
  const all = (selector) => [...(root.matches?.(selector) ? [root] : []), ...root.querySelectorAll(selector)];
  all('form[data-search]').forEach(search);
  all('button[data-copy]').forEach(copy);
  all('[data-stream]').forEach(stream);
  all('[data-load]').forEach(load);
  all('form[data-play]').forEach(play);
  all('iframe[data-app]').forEach(app);
  all('form[data-once]').forEach((form) => form.addEventListener('submit', () => {
    form.querySelectorAll('button').forEach((button) => setTimeout(() => { button.disabled = true; }));
  }));
  all('[data-field]').forEach((word) => {
    const field = document.querySelector(`main [name="${CSS.escape(word.dataset.field)}"]`);
    if (!field) return;
    field.setAttribute('aria-invalid', 'true');
    field.focus();
  });
  all('input[data-all]').forEach((box) => {
    box.hidden = false;
    box.addEventListener('change', () => {
      document.querySelectorAll(`input[name="${CSS.escape(box.dataset.all)}"]`).forEach((one) => { one.checked = box.checked; });
    });
  });
}

// A menu closes when one goes elsewhere.
document.addEventListener('click', (event) => {
  document.querySelectorAll('details.menu[open]').forEach((menu) => { if (!menu.contains(event.target)) menu.open = false; });
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') document.querySelectorAll('details.menu[open]').forEach((menu) => { menu.open = false; menu.querySelector('summary').focus(); });
  const typing = event.target.matches?.('input, textarea, select, [contenteditable]');
  if (event.key === '/' && !typing && !event.ctrlKey && !event.metaKey) {
    const field = document.querySelector('input[type=search]');
    if (field) { event.preventDefault(); field.focus(); }
  }
});
// A page that comes back from the browser's memory may be old.
window.addEventListener('pageshow', (event) => {
  if (!event.persisted) return;
  document.querySelectorAll('form[data-once] button').forEach((button) => { button.disabled = false; });
  refresh();
});
// Of a row or list that is longer than its place, where one is comes into view.
for (const list of document.querySelectorAll('.side, .tabs, #offer')) {
  const here = list.querySelector('[aria-current]');
  if (!here) continue;
  const [outer, inner] = [list.getBoundingClientRect(), here.getBoundingClientRect()];
  list.scrollBy(inner.left - outer.left - (outer.width - inner.width) / 2, inner.top - outer.top - (outer.height - inner.height) / 2);
}
enhance(document);
listen();
