package host

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-plugin/runner"
)

// pipeDelay is how long the output of a dead process is still read when one of its
// children keeps it open.
const pipeDelay = 500 * time.Millisecond

// maxPrelude is how many lines of standard output are read in search of the
// handshake.
const maxPrelude = 20

// program runs one process for go-plugin. It keeps standard output and standard
// error to itself, hands go-plugin the handshake line alone, and holds the life line.
type program struct {
	cmd      *exec.Cmd
	dir      string // the private folder for the plugin's socket
	lifeline *os.File
	stderr   *stderr
	errLines *lines
	outLines *lines
	toHost   *io.PipeWriter // what go-plugin sees of standard output
	fromCmd  *io.PipeReader
	exited   chan struct{} // closed when the process is gone and its output read

	mu        sync.Mutex
	process   *os.Process // nil before the start
	killed    bool
	err       error    // of Wait
	prelude   []string // first lines of standard output, up to the handshake
	shaken    bool     // the handshake line came
	handshake string
}

var _ runner.Runner = (*program)(nil)

// newProgram prepares a process of the binary at path, without starting it.
func newProgram(path string, extraEnv []string, files []*os.File, errs *stderr) *program {
	p := &program{stderr: errs, exited: make(chan struct{})}
	p.fromCmd, p.toHost = io.Pipe()
	p.errLines = &lines{emit: errs.line}
	p.outLines = &lines{emit: p.stdoutLine}
	p.cmd = exec.Command(path)
	p.cmd.Env = extraEnv
	p.cmd.Stdout, p.cmd.Stderr = p.outLines, p.errLines
	p.cmd.ExtraFiles = files
	p.cmd.WaitDelay = pipeDelay
	return p
}

// prepare takes over what go-plugin wants: spec has its environment variables, dir is
// the private folder for the plugin's socket.
func (p *program) prepare(spec *exec.Cmd, dir string) {
	p.dir = dir
	p.cmd.Env = append(append(spec.Env, "TMPDIR="+dir), p.cmd.Env...)
}

// Start implements runner.Runner.
func (p *program) Start(context.Context) error {
	r, w, err := os.Pipe() // the life line: only its end means something
	if err != nil {
		return err
	}
	p.cmd.Stdin = r
	p.mu.Lock()
	defer p.mu.Unlock()
	if err = errKilled; !p.killed {
		err = p.cmd.Start()
	}
	_ = r.Close()
	if err != nil {
		_ = w.Close()
		_ = p.toHost.Close()
		p.err = err
		close(p.exited)
		return err
	}
	p.lifeline, p.process = w, p.cmd.Process
	go p.wait() // Wait waits for it
	return nil
}

var errKilled = errors.New("the start was given up")

func (p *program) wait() {
	err := p.cmd.Wait()
	p.outLines.end()
	p.errLines.end()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // the process itself ended well
	}
	p.mu.Lock()
	p.err = err
	prelude, shaken := p.prelude, p.shaken
	p.mu.Unlock()
	_ = p.lifeline.Close()
	if !shaken && len(prelude) > 0 {
		p.pass(prelude[0]) // go-plugin shall see that there was something
	}
	_ = p.toHost.Close()
	close(p.exited)
}

// stdoutLine looks for the handshake. What comes before it is kept for the error,
// what comes after it goes to the log.
func (p *program) stdoutLine(b []byte, cut bool) {
	line := string(b)
	p.mu.Lock()
	if p.shaken || len(p.prelude) >= maxPrelude {
		p.mu.Unlock()
		p.stderr.line(b, cut)
		return
	}
	if !isHandshake(line) {
		p.prelude = append(p.prelude, line)
		p.mu.Unlock()
		return
	}
	p.shaken, p.handshake = true, line
	if len(p.prelude) > 0 { // a start with output before the handshake is refused
		line = p.prelude[0]
	}
	p.mu.Unlock()
	p.pass(line)
}

// pass hands a line to go-plugin, which reads to the end.
func (p *program) pass(line string) {
	// A "|" could make a stray line look like a handshake.
	if !isHandshake(line) {
		line = strings.ReplaceAll(line, "|", " ")
	}
	_, _ = io.WriteString(p.toHost, line+"\n")
}

// isHandshake says whether a line is go-plugin's: numbers of two versions, network,
// address, and more.
func isHandshake(line string) bool {
	parts := strings.Split(strings.TrimSpace(line), "|")
	if len(parts) < 4 {
		return false
	}
	for _, n := range parts[:2] {
		if _, err := strconv.Atoi(n); err != nil {
			return false
		}
	}
	return true
}

// output returns what standard output began with.
func (p *program) output() (prelude []string, handshake string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.prelude, p.handshake
}

// gone returns how the process ended; ok is false while it runs.
func (p *program) gone() (err error, ok bool) { //nolint:revive // the error is the value here
	select {
	case <-p.exited:
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.err, true
	default:
		return nil, false
	}
}

// Wait implements runner.Runner.
func (p *program) Wait(context.Context) error {
	<-p.exited
	err, _ := p.gone()
	return err
}

// Kill implements runner.Runner.
func (p *program) Kill(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true // even if it has not started yet
	if p.process == nil {
		return nil
	}
	if err := p.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Stdout implements runner.Runner.
func (p *program) Stdout() io.ReadCloser { return p.fromCmd }

// Stderr implements runner.Runner: go-plugin gets none of it.
func (p *program) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name implements runner.Runner.
func (p *program) Name() string { return p.cmd.Path }

// ID implements runner.Runner: the process id, empty before the start.
func (p *program) ID() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.process == nil {
		return ""
	}
	return strconv.Itoa(p.process.Pid)
}

// Diagnose implements runner.Runner; explain does it better.
func (p *program) Diagnose(context.Context) string { return "" }

// PluginToHost implements runner.Runner: both ends share a file system.
func (p *program) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

// HostToPlugin implements runner.Runner.
func (p *program) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
