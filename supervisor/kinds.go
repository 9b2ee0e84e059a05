package supervisor

// Kind is a kind of event. docs/logging.md lists them all.
type Kind struct {
	Message string
	// ID is its MESSAGE_ID in the journal, 128 bits in hex. It never changes. A
	// new kind gets one from `systemd-id128 new`.
	ID string
	// Priority is how the journal shows it: 3 error, 4 warning, 5 notice, 6 info.
	Priority int
}

// The priorities of the journal.
const (
	failure = 3
	warning = 4
	notice  = 5
	info    = 6
)

// Kinds are the kinds of events.
func Kinds() []Kind { return kinds }

// KindOf is the kind of the event with that message.
func KindOf(message string) (k Kind, known bool) {
	k, known = kindOf[message]
	return k, known
}

var kindOf = func() map[string]Kind {
	all := map[string]Kind{}
	for _, k := range kinds {
		all[k.Message] = k
	}
	return all
}()

var kinds = []Kind{
	{"proxy listening", "f06509b30d2148adbad2f8ffcbed7a7d", info},
	{"control socket listening", "efbedfaf539940f5ab0688855813d700", info},
	{"sockets differ from the configuration", "882d3746c32b4cf28b7d03fcb8ade72d", warning},
	{"daemon started", "8366267edc944b57b2f541598bb5f23c", notice},
	{"service manager not told", "0b5671dc0a514562b97dd6854d74ffcb", warning},
	{"loop stands still", "5a09ff312f2d47658a2c1e04d249f0d0", failure},
	{"listener broken", "825539d457ec42bc86e187c06389457f", failure},
	{"log lines dropped", "06d19893698045e38b4599f5b7c15339", warning},
	{"signal received", "4b4be84cb408402597fa777da6187511", notice},
	{"configuration not in effect yet", "2ce9f80b333a40319a42a216f956a813", warning},
	{"configuration in force not kept", "e4346a7346c543dc9cd9fd9968e27938", warning},
	{"configuration changed since the last deploy", "8fbd0842e3e741e49b1b8ab7f069fa1a", notice},
	{"configuration in force not usable", "3284b2b0abc44663ae51844f9922dccb", warning},
	{"state file broken", "8611aa717e6d4ea58dd32f306692aa70", warning},
	{"state file moved", "00c13f4dd8324900a7a59ecce94a4d5f", notice},
	{"state of an instance that is gone set aside", "9a52f87ef8fd4a0c990f5055c0227f55", warning},
	{"state guessed from what runs", "cafc0f9e62b846debf3a92ebd4f9d589", warning},
	{"state persist failed", "8904e4cabe7e46fe9e638de6f9a47a8e", failure},
	{"state persisted again", "b3e6f756f51b4590b3d651e8a365e2fb", notice},
	{"interrupted deploy undone", "b20540ed861348c7b484a6e932170da6", notice},
	{"release resumed", "5629f8777d074114a2e5bb66c54bf9d8", notice},
	{"release not rendered", "e7a6ab3bd81744a6b62d52620851a133", warning},
	{"release not brought back", "8f91746429564b848bd3ce7e6c067763", failure},
	{"nothing to come back", "0f34080f999643a9aa24cd897db57359", info},
	{"process not adopted", "960d80f00ec4405abb1db3638b49456f", warning},
	{"process not brought back", "877098bf23d442cc886a2307b125a628", failure},
	{"port not allocated", "26bc729185d24430832587c0f13ab550", warning},
	{"left-over process stopped", "fd809efd5ae54bc79b2dc7f8c43daa49", notice},
	{"unit without a definition left alone", "c87f5a3a80c4423abcf52c1253b38f61", warning},
	{"orphaned managed process detected", "73198fb000f14b4d861d40342cd9184c", warning},
	{"orphaned processes from a previous daemon", "1238ddfdf874408ea5af2f73a7fa8214", warning},
	{"deploy starting", "5526d09e588d412c83b3dc57662e0946", notice},
	{"deploy failed", "fca57411241c447db58e4ac39f1c49a6", failure},
	{"release startup failed", "6cdf68cabca14a639aace2c40f39af06", failure},
	{"release startup process status", "ada8faf2d2ba424b99a51bece16ac1fd", notice},
	{"traffic switched", "2b8425bf1cac488cb5efb8b8dc0bcb9d", notice},
	{"release stopping", "0a0c0e5853404da8b9f201b132acafbb", info},
	{"release stopped", "210154cedc0b44818d53c9e02aae25b3", info},
	{"release drained", "ce25dfb0e03e4881a13b4a2edd2c4579", info},
	{"release drain failed", "795aeaaa5a7f484e8adcc315faa491e6", failure},
	{"rollback starting", "beb7bac0b00648b4b69d238316c39ed7", notice},
	{"service stop failed", "536a8d845dfe43549cde5d2588eac714", failure},
	{"process definition not kept", "c8c9510ab5ff4a638633693eafd9d6d3", warning},
	{"process records not readable", "46ac10b4720b4a1092d1216fa0c479d5", failure},
	{"process started", "9d1ef9d7f0234d18aa42f8aad581211d", info},
	{"process exited", "fd4d0bce5a764ae486aa43df37858b19", notice},
	{"process stop timed out; sending SIGKILL", "749bd428804240a0a46efdf63e8264b9", warning},
	{"process restart requested", "eecf6c1bb43849f9966e999fa1ce7566", info},
	{"restart limit reached", "fc056a7936564d60b646b8b092177d79", failure},
	{"process stopped by hand", "a87d89927d6e4b46abf4f45f57b9640f", notice},
	{"process restart failed", "9fc39d01dbbd4ddf8a509b4eb5a38497", warning},
	{"memory warning", "02845e85016746af84205fa63ca99d1a", warning},
	{"memory limit exceeded", "668919c802ed4f64afadb01daaf94a0a", warning},
	{"memory restart failed", "7ba2745addc841248652fcc1a608047c", failure},
	{"quiet command exited non-zero", "60adfa38af7d4e06950c48a055e172b3", warning},
	{"drain command exited non-zero", "60adfa38af7d4e06950c48a055e172b3", warning},
	{"stop command exited non-zero", "60adfa38af7d4e06950c48a055e172b3", warning},
	{"quiet command exited on signal", "a67345c7840c485f9d62bfafd551482c", warning},
	{"drain command exited on signal", "a67345c7840c485f9d62bfafd551482c", warning},
	{"stop command exited on signal", "a67345c7840c485f9d62bfafd551482c", warning},
	{"quiet command timed out", "9afe52ef28c349fc84ce8842ffa4a821", warning},
	{"drain command timed out", "9afe52ef28c349fc84ce8842ffa4a821", warning},
	{"stop command timed out", "9afe52ef28c349fc84ce8842ffa4a821", warning},
	{"quiet command failed", "6decda29d64c4aeb823e8c71809c1d50", warning},
	{"drain command failed", "6decda29d64c4aeb823e8c71809c1d50", warning},
	{"stop command failed", "6decda29d64c4aeb823e8c71809c1d50", warning},
	{"proxy error", "bba689549ea84153aa506d174ff99b4d", warning},
	{"command failed", "20611e2cd928433e8e569692fb354b63", warning},
	{"control connection error", "1ad211d18da24586869a5a1e633a7957", warning},
	{"systemd connection lost", "12459897a0844e89abef33bd2f4ba5c6", warning},
	{"systemd connected again", "5412f830416d439281b8ebb5d3e74865", notice},
	{"configuration file broken", "eea4099375e94a40a2a1cf8eea524ac9", failure},
	{"restart starting", "64ab04785bbb43e6af114e863db137b4", notice},
	{"processes left to the next daemon", "6d9f460a7187470e87e73eb271dae5b7", notice},
	{"own unit not stopped", "8789061a09bc4e1383a348e15bcdbcb8", warning},
	{"shutdown starting", "767e76579b6c44c9aab0d3cfd0b14a6f", notice},
	{"shutdown complete", "e48daab824fa4fde86ae2d7121079850", notice},
}
