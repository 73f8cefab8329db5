package signal

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"sync"

	"github.com/emiago/sipgo/sip"
)

// clientTx is a request of ours.
type clientTx struct {
	key     string
	machine *sip.ClientTx
	request *draft // as it was sent
	ack     *draft // for a final answer to an INVITE; set before it is passed on
	flow    *flow
	came    chan *message

	mu   sync.Mutex
	seen map[*sip.Response]*message
	ok   *draft // the ACK of the 2xx, to be sent again with it
}

// requests is where a machine's requests go: sip.Connection.
type requests clientTx

// WriteMsg implements sip.Connection. The ACK of a refusal is the machine's own idea; it
// is written from our request, since headers must come back as they went.
func (r *requests) WriteMsg(m sip.Message) error {
	if req, ok := m.(*sip.Request); ok && req.IsAck() {
		return r.flow.send(r.ack.bytes())
	}
	return r.flow.send(m.Body())
}

// LocalAddr implements sip.Connection.
func (r *requests) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }

// Ref implements sip.Connection.
func (r *requests) Ref(int) int { return 1 }

// TryClose implements sip.Connection.
func (r *requests) TryClose() (int, error) { return 1, nil }

// Close implements sip.Connection.
func (r *requests) Close() error { return nil }

// LocalAddr implements sip.Connection.
func (a *answers) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }

func newBranch() string { return branchCookie + rand.Text() }

// clientKey matches a response to our request (RFC 3261 §17.1.3).
func clientKey(branch, method string) string { return branch + " " + method }

// request sends d by f and waits for its final answer. ack is for a refused INVITE. It
// returns nil if there was none in time, or d could not be sent. The
// transaction takes repeated answers for a while longer.
func (t *transactions) request(ctx context.Context, f *flow, method, branch string, d, ack *draft) (*clientTx, *message) {
	key := clientKey(branch, method)
	tx := &clientTx{key: key, request: d, ack: ack, flow: f, came: make(chan *message, 8), seen: map[*sip.Response]*message{}}
	origin := sip.NewRequest(sip.RequestMethod(method), sip.Uri{})
	origin.SetTransport(f.transport)
	origin.AppendHeader(&sip.CSeqHeader{MethodName: sip.RequestMethod(method)}) // the machine's ACK takes it
	origin.SetBody(d.bytes())
	tx.machine = sip.NewClientTx(key, origin, (*requests)(tx), t.log)
	tx.machine.OnTerminate(func(string, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.client, key)
	})
	tx.machine.OnRetransmission(func(*sip.Response) { tx.acknowledge(nil) })
	t.mu.Lock()
	if t.closed || t.abandoned || len(t.client) >= t.most {
		t.mu.Unlock()
		return nil, nil
	}
	t.client[key] = tx
	t.mu.Unlock()
	if err := tx.machine.Init(); err != nil {
		t.note(CountUnsent)
		tx.machine.Terminate()
		return nil, nil
	}
	t.readers.Go(tx.feed)
	for {
		select {
		case res := <-tx.machine.Responses():
			m := tx.take(res)
			if m.status < 200 {
				continue
			}
			if method == "INVITE" {
				t.readers.Go(tx.drain)
			} else {
				tx.machine.Terminate() // nobody waits for more
			}
			return tx, m
		case <-tx.machine.Done():
			return tx, nil
		case <-ctx.Done():
			tx.machine.Terminate()
			return tx, nil
		}
	}
}

// response hands an answer to its request.
func (t *transactions) response(m *message) {
	t.mu.Lock()
	tx := t.client[clientKey(m.via.branch(), m.about)]
	t.mu.Unlock()
	if tx == nil {
		return // late, or not for us
	}
	select {
	case tx.came <- m:
	default: // a flood of them
	}
}

// feed passes answers to the machine, which may make us wait.
func (tx *clientTx) feed() {
	for {
		select {
		case m := <-tx.came:
			res := sip.NewResponse(m.status, "")
			tx.mu.Lock()
			clear(tx.seen)
			tx.seen[res] = m
			tx.mu.Unlock()
			tx.machine.Receive(res)
		case <-tx.machine.Done():
			return
		}
	}
}

// drain keeps the machine from waiting for a reader of what nobody wants.
func (tx *clientTx) drain() {
	for {
		select {
		case <-tx.machine.Responses():
		case <-tx.machine.Done():
			return
		}
	}
}

func (tx *clientTx) take(res *sip.Response) *message {
	tx.mu.Lock()
	defer tx.mu.Unlock()
	return tx.seen[res]
}

// acknowledge sends the ACK of a 2xx, and again for each repetition of it.
func (tx *clientTx) acknowledge(d *draft) {
	tx.mu.Lock()
	if d != nil {
		tx.ok = d
	}
	d = tx.ok
	tx.mu.Unlock()
	if d != nil {
		_ = tx.flow.send(d.bytes())
	}
}
