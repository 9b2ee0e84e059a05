package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"rollbridge/supervisor/config"
)

// Gate is the process in front of a command, and the world around it.
type Gate struct {
	Dir        Dir
	Manager    Manager   // asked by Run only
	Notify     string    // address of the manager's notification socket; "" for none
	Invocation string    // id that the manager gave to this run of the unit
	Journal    string    // path of the journal's stream socket; "" for the usual one
	Stderr     io.Writer // for people
}

// Manager is the service manager, as far as a gate asks it.
type Manager interface {
	// NRestarts is how many automatic restarts of a unit it has counted.
	NRestarts(ctx context.Context, unit string) (uint32, error)
	// ForgetStarts has it forget all starts of a unit it has counted.
	ForgetStarts(ctx context.Context, unit string) error
}

// managerTimeout is how long the manager may take to answer. It is long on a
// busy machine, and while it reloads; one that cannot be reached says so at once.
const managerTimeout = 10 * time.Second

// errAsked is the end of a gate that a signal asked to end.
var errAsked = errors.New("asked to end")

// Run is the gate of a unit. It waits until the command is due by its restart
// policy, and becomes it. It returns why it could not, which is recorded; the
// manager then starts the unit again. It returns nil when a signal asks it to
// end before. When the command shall not be started again it does not return:
// the process dies of GiveUpSignal.
func (g Gate) Run(ctx context.Context, id string) error {
	v, err := g.enter(id)
	if err != nil {
		return g.giveUp(err)
	}
	if err := v.run(ctx); !errors.Is(err, errAsked) {
		return err
	}
	return nil
}

// visit is one run of a gate.
type visit struct {
	Gate
	id   string
	def  Definition
	log  *log
	quit *quitting
}

// enter reads the definition and opens the records. That they cannot be opened,
// on a full disk, is no reason not to run the command.
func (g Gate) enter(id string) (*visit, error) {
	v := &visit{Gate: g, id: id}
	if err := v.read(); err != nil {
		return nil, err
	}
	var err error
	if v.log, err = g.Dir.log(id); err != nil {
		return nil, err
	}
	if err := v.log.load(os.O_CREATE); err != nil {
		v.say("records %s: %v", v.log.path, bare(err))
	}
	v.quit = awaitQuit(v.def.Spec.Stop.Signal)
	return v, nil
}

// read reads the newest definition.
func (v *visit) read() (err error) {
	v.def, err = v.Dir.Read(v.id)
	return err
}

// run is the way from here to the command.
func (v *visit) run(ctx context.Context) error {
	v.noteUnseen()
	if v.def.Want != Run {
		return v.end(v.log.last)
	}
	c, err := v.cause(ctx)
	if err != nil {
		return err
	}
	p := decide(v.def, v.log.last, c, Boottime())
	if p.giveUp {
		return v.stopTrying(p.state)
	}
	if err := v.await(p); err != nil {
		return err
	}
	return v.start(p)
}

// noteUnseen records the end of a run that Ended has not: a SIGKILL to the whole
// unit can have ended that too.
func (v *visit) noteUnseen() {
	if last := v.log.last; last.Kind == Started {
		v.record(last.ended(last.OOMKills.unseen(v.def, killsSoFar())))
	}
}

// cause finds out why this gate runs.
func (v *visit) cause(ctx context.Context) (cause, error) {
	if c, ok := asked(v.def, v.log.last); ok {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, managerTimeout)
	defer cancel()
	answer := make(chan cause, 1)
	go func() { answer <- v.ask(ctx) }()
	select {
	case c := <-answer:
		return c, nil
	case <-v.quit.signals:
		return cause{}, errAsked
	}
}

// ask asks the manager. One that does not answer is likelier to be busy with
// many crashes than with a restart by hand.
func (v *visit) ask(ctx context.Context) cause {
	n, err := v.Manager.NRestarts(ctx, v.def.Unit)
	if err != nil {
		v.say("ask systemd why %s is started: %v; taken for an automatic restart", v.def.Unit, err)
		return unknown(v.log.last)
	}
	c := unasked(v.log.last, n)
	if c.reason == manual {
		v.forgetStarts(ctx, &c)
	}
	return c
}

// forgetStarts sees to it that starts by hand count in no limit: systemd ends a
// healthy process with the one that is too many, and the next may come before
// any daemon has seen this one.
func (v *visit) forgetStarts(ctx context.Context, c *cause) {
	if err := v.Manager.ForgetStarts(ctx, v.def.Unit); err != nil {
		v.say("have systemd forget the starts of %s: %v", v.def.Unit, err)
		return
	}
	c.nRestarts = 0
}

// end is the end of a process that is not wanted any more.
func (v *visit) end(state Record) error {
	v.record(state.Next(Ended))
	return v.giveUp(fmt.Errorf("%s is not started again: it is to %s", Identifier(v.def.Spec), v.def.Want))
}

// stopTrying is the end of a process that has used up its restarts.
func (v *visit) stopTrying(state Record) error {
	v.record(state.Next(GaveUp))
	return v.giveUp(fmt.Errorf("%s has used up its %s and is not started again; `rollbridge restart` starts it",
		Identifier(v.def.Spec), budget(v.def.Spec.Restart)))
}

// await waits until the command is due. The newest definition counts then.
func (v *visit) await(p plan) error {
	if left := p.due - Boottime(); left > 0 {
		r := p.state.Next(Waiting)
		r.Until = r.At.Add(left)
		v.record(r)
		v.tellStatus(waitingStatus(v.def.Spec.Restart, p, left))
		if err := v.quit.sleep(p.due); err != nil {
			return err
		}
	}
	if err := v.read(); err != nil {
		return v.giveUp(err)
	}
	if v.def.Want != Run {
		return v.end(p.state)
	}
	return nil
}

// start becomes the command. It returns why it could not, once that is recorded.
func (v *visit) start(p plan) error {
	before := p.state.begun(p.reason)
	err := v.become(v.def, func() error {
		if err := v.quit.over(); err != nil {
			return err
		}
		v.record(v.started(before))
		return v.tell("READY=1\nSTATUS=")
	})
	if errors.Is(err, errAsked) {
		return err
	}
	failed := before.Next(Failed).of(v.def.Spec)
	failed.Error = err.Error()
	v.record(failed)
	return fmt.Errorf("start %s: %w", Identifier(v.def.Spec), err)
}

// started is the record of this process as the command.
func (v *visit) started(before Record) Record {
	r := before.Next(Started).of(v.def.Spec)
	r.PID, r.StartTime = os.Getpid(), startTime()
	r.Unit, r.Invocation, r.OOMKills = v.def.Unit, v.Invocation, killsSoFar()
	r.Code, r.Signal, r.Result, r.Unseen, r.Ran, r.Error = 0, 0, "", false, 0, ""
	return r
}

// record writes down what happened; that it cannot is told to people alone.
func (v *visit) record(r Record) {
	if r.Release == "" {
		r = r.of(v.def.Spec) // nothing was recorded before
	}
	if err := v.log.append(r); err != nil {
		v.say("%v", err)
	}
}

func (g Gate) say(format string, args ...any) {
	fmt.Fprintf(g.Stderr, "rollbridge: "+format+"\n", args...)
}

// waitingStatus is what `systemctl status` shows: "restart 3 of 5 in 0.8 s".
func waitingStatus(policy config.Restart, p plan, left time.Duration) string {
	if policy.Max == config.Unlimited {
		return fmt.Sprintf("restart in %.1f s", left.Seconds())
	}
	return fmt.Sprintf("restart %d of %d in %.1f s", len(p.state.History.Restarts), policy.Max, left.Seconds())
}

// budget is the limit of restarts in words.
func budget(p config.Restart) string {
	text := fmt.Sprintf("%d restarts", p.Max)
	if p.Max == 1 {
		text = "1 restart"
	}
	if p.Window > 0 {
		text += fmt.Sprintf(" in %s", p.Window)
	}
	return text
}
