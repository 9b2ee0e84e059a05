package config

import (
	"fmt"
	"regexp"
	"strings"
	"syscall"
)

var (
	releaseID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$`)
	processID = regexp.MustCompile(`^[._-]*[A-Za-z0-9][A-Za-z0-9._-]*$`)
	noLetters = regexp.MustCompile(`[^A-Za-z0-9]+`)
)

// maxProcessID is the longest process id, in bytes.
const maxProcessID = 100

// ValidID reports whether s can be a release id or a revision: letters, digits,
// dots, underscores and hyphens, a letter or digit first, at most 200 of them.
func ValidID(s string) bool { return releaseID.MatchString(s) }

// PortVariable is the environment variable that tells every process the port
// of the process id.
func PortVariable(id string) string {
	return "ROLLBRIDGE_" + strings.ToUpper(noLetters.ReplaceAllString(id, "_")) + "_PORT"
}

// checkRules reports what is wrong between keys and between processes.
func checkRules(top mapping, all []definition) {
	ids, ports := map[string]definition{}, map[string]definition{}
	for _, d := range all {
		d.checkID(ids)
		d.checkReplicas()
		d.checkDrain()
		d.checkHandoff()
		d.checkStop()
		d.checkPortVariable(ports)
	}
	checkProxied(top, all)
	checkUser(top, all)
}

func (d definition) checkID(seen map[string]definition) {
	v := d.at.get("id")
	if d.ID == "" {
		return
	}
	if first, taken := seen[d.ID]; taken {
		v.complain("Duplicate process id: "+d.ID,
			fmt.Sprintf("make the process ids unique: %q is already used on line %d", d.ID, first.at.get("id").at.Line))
		return
	}
	seen[d.ID] = d
	switch {
	case strings.Contains(d.ID, "#"):
		plain := strings.ReplaceAll(d.ID, "#", "-")
		v.complain(fmt.Sprintf("Process id %q must not contain \"#\"", d.ID),
			fmt.Sprintf("remove the #, for example `id: %s`: it is reserved for replicas such as %s#0", plain, plain))
	case !processID.MatchString(d.ID):
		v.complain(fmt.Sprintf("Process id %q must consist of letters, digits, dots, underscores and hyphens", d.ID), v.set("a plain name", "web"))
	case len(d.ID) > maxProcessID:
		v.wrong(fmt.Sprintf("must be at most %d characters long", maxProcessID), v.set("a short name", "web"))
	}
}

func (d definition) checkReplicas() {
	if d.Replicas == 1 || !d.policyOK || d.Policy == Companion && d.Port == nil && d.portOK {
		return
	}
	if d.Policy == Companion && !d.portOK {
		return // whether it has a port is not clear yet
	}
	with := "without a port"
	if d.Port != nil {
		with = "with a port"
	}
	d.at.get("replicas").complain(fmt.Sprintf("Process %q can only set replicas > 1 on a companion process without a port", d.ID),
		fmt.Sprintf("remove replicas: %d, or make %q a companion without a port; it is a %s %s", d.Replicas, d.ID, d.Policy, with))
}

func (d definition) checkDrain() {
	if d.NonBlockingDrain && d.policyOK && d.Policy != Companion {
		d.at.get("nonBlockingDrain").complain(fmt.Sprintf("Process %q can only set nonBlockingDrain on a companion process", d.ID),
			fmt.Sprintf("remove nonBlockingDrain, or set `policy: companion`; %q is a %s", d.ID, d.Policy))
	}
}

func (d definition) checkHandoff() {
	if d.DeployStrategy != Handoff || !d.policyOK {
		return
	}
	v, port := d.at.get("deployStrategy"), d.at.get("port")
	if d.Policy != Service {
		v.complain(fmt.Sprintf("Process %q can only set deployStrategy: \"handoff\" on a service process", d.ID),
			fmt.Sprintf("remove deployStrategy, or set `policy: service`; %q is a %s", d.ID, d.Policy))
		return
	}
	switch {
	case d.Port == nil && d.portOK:
		v.complain(fmt.Sprintf("Handoff service %q must define a port range", d.ID),
			"add a range, so that the old and the new instance can run side by side: `port: {from: 18100, to: 18199}`")
	case d.Port != nil && d.Port.From == d.Port.To:
		port.complain(fmt.Sprintf("Handoff service %q must use a multi-port range", d.ID), "widen the range, for example `port: "+widened(d.Port.From)+"`")
	}
}

// widened is the range of 100 ports that begins at from, as far as there are.
func widened(from int) string {
	if from == 0 {
		from = 18100
	}
	from = min(from, 65535-99)
	return fmt.Sprintf("{from: %d, to: %d}", from, from+99)
}

func (d definition) checkStop() {
	if d.Lifecycle.Stop != "" && d.StopSignal != syscall.SIGTERM {
		d.at.get("stopSignal").complain(fmt.Sprintf("Process %q sets both lifecycle.stopCommand and a custom stopSignal, but stopCommand replaces stopSignal", d.ID),
			"remove stopSignal or lifecycle.stopCommand: with a stopCommand the signal would never be sent")
	}
}

// checkPortVariable reports ids that differ, but not in ROLLBRIDGE_<ID>_PORT.
func (d definition) checkPortVariable(seen map[string]definition) {
	if d.Port == nil || d.ID == "" {
		return
	}
	name := PortVariable(d.ID)
	first, taken := seen[name]
	if !taken {
		seen[name] = d
		return
	}
	if first.ID != d.ID {
		d.at.get("id").complain(fmt.Sprintf("Process ids %q and %q both name their port %s", first.ID, d.ID, name),
			fmt.Sprintf("rename one of them, so that they differ in letters or digits; %q is on line %d", first.ID, first.at.get("id").at.Line))
	}
}

func checkProxied(top mapping, all []definition) {
	var proxied []definition
	unclear := false
	for _, d := range all {
		unclear = unclear || !d.policyOK
		if d.policyOK && d.Policy == Proxied {
			proxied = append(proxied, d)
		}
	}
	if n := len(proxied); n > 1 || n == 0 && !unclear {
		v := top.get("processes")
		if n > 1 {
			v = proxied[1].at.get("policy")
		}
		v.complain(fmt.Sprintf("Config must define exactly one proxied process; found %d", n),
			"mark exactly one process, the web server, with `policy: proxied`; companion, singleton and service are for the others")
	}
	for _, d := range proxied {
		if d.Port == nil && d.portOK {
			d.at.get("port").complain(fmt.Sprintf("Proxied process %s must define a port range", named(d.ID)),
				"add a range to the process: `port: {from: 18000, to: 18099}`")
		}
	}
}

func named(id string) string {
	if id == "" {
		return "(unnamed)"
	}
	return id
}

// checkUser asks who the processes run as when the daemon is root: never root
// just because nobody said so.
func checkUser(top mapping, all []definition) {
	v := top.get("user")
	if top.r.opt.UID != 0 || v.given() {
		return
	}
	for _, d := range all {
		if !d.at.get("user").given() {
			v.complain("user is required, since the daemon is root",
				"add the user that the processes run as, for example `user: app`; if they really need root, `user: root`")
			return
		}
	}
}
