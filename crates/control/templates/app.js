// What pages do beyond what they do without a script. Everything is asked for by an attribute of the page:
//   body[data-changes=URL]      a stream of changes; after one, elements with `data-live` and an id are read anew
//   form[data-search=ID]        is sent while one types, and the element of that id is replaced by the answer's
//   button[data-copy=ID]        copies the text of an element
//   [data-stream=URL]           gets the lines of an answer that does not end
//   form[data-once]             is sent once, however often its button is pressed
//   [data-field=NAME]           says what is wrong with a field: that one is marked, and has the focus
//   input[data-all=NAME]        ticks all boxes of a name
'use strict';

const said = document.getElementById('said');
const say = (words) => { if (said) said.textContent = words; };
const soon = (wait, act) => { let timer; return () => { clearTimeout(timer); timer = setTimeout(act, wait); }; };

async function fetched(url, signal) {
  const answer = await fetch(url, { credentials: 'same-origin', headers: { accept: 'text/html' }, signal });
  // A session that has ended leads to the sign-in: the whole page goes there.
  if (answer.redirected && new URL(answer.url).pathname === '/sign-in') { location.reload(); return null; }
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
    const page = await fetched(location.href);
    if (!page) return;
    for (const old of live) {
      const fresh = page.getElementById(old.id);
      if (fresh && !isBusy(old) && plain(fresh) !== plain(old)) replace(old, fresh);
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

async function stream(element) {
  const stop = new AbortController();
  window.addEventListener('pagehide', () => stop.abort());
  try {
    const answer = await fetch(element.dataset.stream, { credentials: 'same-origin', signal: stop.signal });
    if (!answer.ok || !answer.body) return;
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    element.textContent = '';
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
      element.append(value);
      // A page is no archive: what was long ago is in the download.
      while (2000 < element.childNodes.length) element.firstChild.remove();
      if (atEnd) element.scrollTop = element.scrollHeight;
    }
  } catch { /* What has come stays. */ }
}

function enhance(root) {
  const all = (selector) => [...(root.matches?.(selector) ? [root] : []), ...root.querySelectorAll(selector)];
  all('form[data-search]').forEach(search);
  all('button[data-copy]').forEach(copy);
  all('[data-stream]').forEach(stream);
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
enhance(document);
listen();
