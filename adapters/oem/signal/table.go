package signal

import "sync"

// table holds the dialogs, whatever transport they came by.
type table struct {
	most int

	mu     sync.Mutex
	closed bool
	places int                // taken: dialogs, and those that say BYE
	byTag  map[string]*Dialog // Call-ID and our tag
	byCall map[string]*Dialog // Call-ID and the peer's tag: for requests without ours
	taken  sync.WaitGroup     // places; it grows under mu and not once closed, so Wait may follow endAll
}

func newTable(most int) *table {
	return &table{most: most, byTag: map[string]*Dialog{}, byCall: map[string]*Dialog{}}
}

type added int

const (
	isNew added = iota
	isThere
	isFull
)

func pair(callID, tag string) string { return callID + "\x00" + tag }

func (t *table) add(d *Dialog) added {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byCall[pair(d.callID, d.remoteTag)] != nil {
		return isThere
	}
	if t.closed || t.places >= t.most {
		return isFull
	}
	t.places++
	t.taken.Add(1)
	t.byTag[pair(d.callID, d.id)] = d
	t.byCall[pair(d.callID, d.remoteTag)] = d
	return isNew
}

// find returns the dialog that m belongs to. A request without a To tag is matched by
// Call-ID and From tag, since some peers forget it.
func (t *table) find(m *message) *Dialog {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tag := m.to.Tag(); tag != "" {
		if d := t.byTag[pair(m.callID, tag)]; d != nil && d.remoteTag == m.from.Tag() {
			return d
		}
		return nil
	}
	return t.byCall[pair(m.callID, m.from.Tag())]
}

// named returns the dialog that a Replaces header names (RFC 3891 §3).
func (t *table) named(callID, toTag, fromTag string) *Dialog {
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := t.byTag[pair(callID, toTag)]; d != nil && d.remoteTag == fromTag {
		return d
	}
	return nil
}

// hide makes d unfindable; its place is still taken.
func (t *table) hide(d *Dialog) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byTag[pair(d.callID, d.id)] == d {
		delete(t.byTag, pair(d.callID, d.id))
		delete(t.byCall, pair(d.callID, d.remoteTag))
	}
}

// remove gives the place of d back.
func (t *table) remove(d *Dialog) {
	t.hide(d)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.places--
	t.taken.Done()
}

func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.places
}

// endAll takes no more dialogs and tells those that are there that it is over.
func (t *table) endAll() {
	t.mu.Lock()
	t.closed = true
	all := make([]*Dialog, 0, len(t.byTag))
	for _, d := range t.byTag {
		all = append(all, d)
	}
	t.mu.Unlock()
	for _, d := range all {
		d.stop()
	}
}
