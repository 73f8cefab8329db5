package signal

import (
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// transactions holds those that run, of both sides. The state machines are sipgo's; each
// of them sees no more of a message than its method or status, and the whole message
// travels as its body.
type transactions struct {
	most int
	note func(kind string)
	log  *slog.Logger // for sipgo, whose lines are for its developers: nowhere

	mu                sync.Mutex
	closed, abandoned bool
	server            map[string]*serverTx
	client            map[string]*clientTx

	readers sync.WaitGroup // goroutines of client transactions, which outlast their answers
}

func newTransactions(most int, note func(string)) *transactions {
	return &transactions{most: most, note: note, log: slog.New(slog.DiscardHandler),
		server: map[string]*serverTx{}, client: map[string]*clientTx{}}
}

// serverKey matches a request to its transaction (RFC 3261 §17.2.3). ACK and CANCEL
// match the INVITE that they are about. The address is part of it, so that nobody meddles
// with the transactions of another.
func serverKey(m *message, from netip.Addr) string {
	method := m.method
	if method == "ACK" || method == "CANCEL" {
		method = "INVITE"
	}
	var b strings.Builder
	b.WriteString(from.String())
	b.WriteByte(' ')
	b.WriteString(method)
	b.WriteByte(' ')
	if branch := m.via.branch(); len(branch) > len(branchCookie) && strings.HasPrefix(branch, branchCookie) {
		b.WriteString(branch)
		b.WriteByte(' ')
		b.WriteString(m.via.host)
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(m.via.port))
		return b.String()
	}
	for _, part := range []string{m.uri, m.callID, m.from.Tag(), strconv.FormatUint(uint64(m.cseq), 10), m.via.raw} {
		b.WriteString(part) // RFC 2543: an ACK's To tag differs, so To is left out
		b.WriteByte(' ')
	}
	return b.String()
}

// tagFor is the To tag of answers for which nothing is kept: the same each time.
func tagFor(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:8])
}

// serverTx is a request being answered.
type serverTx struct {
	method  string
	tag     string
	to      back
	machine *sip.ServerTx

	mu     sync.Mutex
	flow   *flow  // the latest way that the request came
	refuse *draft // the 487 of a CANCEL; nil once there is a final answer
	final  int    // the status that ended it; 0 while none did
	begun  bool   // too late for CANCEL to take it back
	cancel func() // ends what is done about an INVITE
}

// find returns the transaction that a request belongs to.
func (t *transactions) find(key string) *serverTx {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.server[key]
}

// begin starts a transaction, or returns nil: too many, or closing time.
func (t *transactions) begin(key string, m *message, f *flow, tag string) *serverTx {
	tx := &serverTx{method: m.method, tag: tag, to: m.via.back(), flow: f} // not m: it may be long, and this stays for a while
	if m.method == "INVITE" {
		tx.refuse = answerTo(m, f.remote, 487, "", tag)
	}
	origin := sip.NewRequest(sip.RequestMethod(m.method), sip.Uri{})
	origin.SetTransport(f.transport)
	tx.machine = sip.NewServerTx(key, origin, (*answers)(tx), t.log)
	tx.machine.OnTerminate(func(string, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.server[key] == tx {
			delete(t.server, key)
		}
	})
	t.mu.Lock()
	if t.closed || len(t.server) >= t.most {
		t.mu.Unlock()
		return nil
	}
	t.server[key] = tx
	t.mu.Unlock()
	_ = tx.machine.Init() // never fails
	if m.method == "INVITE" {
		tx.provisional(answerTo(m, f.remote, 100, "", ""))
	}
	return tx
}

// answers is where a machine's responses go: sip.Connection.
type answers serverTx

// WriteMsg implements sip.Connection.
func (a *answers) WriteMsg(m sip.Message) error {
	return (*serverTx)(a).send(m.Body())
}

func (tx *serverTx) send(b []byte) error {
	tx.mu.Lock()
	f := tx.flow
	tx.mu.Unlock()
	return f.answering(tx.to).send(b)
}

// follow makes f the way of answers, if the one so far is gone.
func (tx *serverTx) follow(f *flow) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	if !tx.flow.alive() {
		tx.flow = f
	}
}

func envelope(status int, b []byte) *sip.Response {
	res := sip.NewResponse(status, "")
	res.SetBody(b)
	return res
}

func (tx *serverTx) provisional(d *draft) {
	_ = tx.machine.Respond(envelope(100, d.bytes()))
}

// respond sends the final answer. It is false if there was one already: the caller
// cancelled. What cannot be sent ends the transaction; the peer asks again.
func (tx *serverTx) respond(status int, d *draft) bool {
	tx.mu.Lock()
	if tx.final != 0 {
		tx.mu.Unlock()
		return false
	}
	tx.final, tx.refuse, tx.cancel = status, nil, nil
	tx.mu.Unlock()
	_ = tx.machine.Respond(envelope(status, d.bytes()))
	return true
}

// refused tells whether the final answer waits for the ACK of this transaction.
func (tx *serverTx) refused() bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.final >= 300
}

// begin says that it is served from now on: CANCEL comes too late. It is false if CANCEL
// was first.
func (tx *serverTx) begin() bool {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.begun = true
	return tx.final == 0
}

// onCancel sets what ends the work on an INVITE.
func (tx *serverTx) onCancel(f func()) {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	tx.cancel = f
}

// cancelled answers the INVITE with 487, if that is still possible.
func (tx *serverTx) cancelled() {
	tx.mu.Lock()
	stop, late, refuse := tx.cancel, tx.begun, tx.refuse
	tx.mu.Unlock()
	if late || refuse == nil || !tx.respond(487, refuse) {
		return
	}
	if stop != nil {
		stop()
	}
}

// again takes a retransmission, or the ACK of a refusal, that came by f.
func (tx *serverTx) again(m *message, f *flow) {
	tx.mu.Lock()
	tx.flow = f // a stream may have been lost meanwhile
	tx.mu.Unlock()
	_ = tx.machine.Receive(sip.NewRequest(sip.RequestMethod(m.method), sip.Uri{}))
}

// Ref, TryClose, Close and LocalAddr complete sip.Connection; flows have other owners.
func (a *answers) Ref(int) int { return 1 }

// TryClose implements sip.Connection.
func (a *answers) TryClose() (int, error) { return 1, nil }

// Close implements sip.Connection.
func (a *answers) Close() error { return nil }

// abandon waits for no answers any more.
func (t *transactions) abandon() {
	t.mu.Lock()
	t.abandoned = true
	var all []*sip.ClientTx
	for _, tx := range t.client {
		all = append(all, tx.machine)
	}
	t.mu.Unlock()
	for _, tx := range all {
		tx.Terminate()
	}
}

// close ends every transaction, without a word.
func (t *transactions) close() {
	t.mu.Lock()
	t.closed = true
	var all []sip.Transaction
	for _, tx := range t.server {
		all = append(all, tx.machine)
	}
	for _, tx := range t.client {
		all = append(all, tx.machine)
	}
	t.mu.Unlock()
	for _, tx := range all {
		tx.Terminate()
	}
	t.readers.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	clear(t.server) // one that ends by itself just now would leave later
	clear(t.client)
}
