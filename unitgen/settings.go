package unitgen

// A setting is a property of a unit: how it is called on the bus, and where and
// how it stands in a unit file.
type setting struct {
	property string
	section  string // "" is that of the unit's kind, Service or Scope
	key      string // "" for what only a call over the bus can say
	since    int    // first major version of systemd that has it, when later than Oldest
	write    func(value any) []string
}

// settings is every property that a unit of ours has.
var settings = []setting{
	{property: "Description", section: "Unit", key: "Description", write: plain},
	{property: "Before", section: "Unit", key: "Before", write: words},
	{property: "CollectMode", section: "Unit", key: "CollectMode", write: plain},
	{property: "StartLimitIntervalUSec", section: "Unit", key: "StartLimitIntervalSec", write: span},
	{property: "StartLimitBurst", section: "Unit", key: "StartLimitBurst", write: number},
	{property: "SourcePath", section: "Unit", key: "SourcePath", write: plain},

	{property: "Slice", key: "Slice", write: plain},
	{property: "Type", key: "Type", write: plain},
	{property: "NotifyAccess", key: "NotifyAccess", write: plain},
	{property: "ExecStart", key: "ExecStart", write: commands},
	{property: "ExecStopPost", key: "ExecStopPost", write: commands},
	{property: "Environment", key: "Environment", write: quotedWords},
	{property: "Restart", key: "Restart", write: plain},
	{property: "RestartUSec", key: "RestartSec", write: span},
	{property: "RestartPreventExitStatus", key: "RestartPreventExitStatus", write: statuses},
	{property: "TimeoutStartUSec", key: "TimeoutStartSec", write: span},
	{property: "TimeoutStopUSec", key: "TimeoutStopSec", write: span},
	{property: "KillMode", key: "KillMode", write: plain},
	{property: "KillSignal", key: "KillSignal", write: signal},
	{property: "IgnoreSIGPIPE", key: "IgnoreSIGPIPE", write: truth},
	{property: "MemoryAccounting", key: "MemoryAccounting", write: truth},
	{property: "MemoryMax", key: "MemoryMax", write: size},
	{property: "OOMPolicy", key: "OOMPolicy", write: plain}, // of scopes: Debian has it from 252 on
	{property: "SyslogIdentifier", key: "SyslogIdentifier", write: plain},
	{property: "LogExtraFields", key: "LogExtraFields", write: quotedWords},
	{property: "LogRateLimitIntervalUSec", key: "LogRateLimitIntervalSec", write: span},

	{property: "Listen", key: "ListenStream", write: instead},
	{property: "BindIPv6Only", key: "BindIPv6Only", write: plain},
	{property: "FreeBind", key: "FreeBind", write: truth},
	{property: "RemoveOnStop", key: "RemoveOnStop", write: truth},
	{property: "SocketUser", key: "SocketUser", write: plain},
	{property: "SocketGroup", key: "SocketGroup", write: plain},
	{property: "SocketMode", key: "SocketMode", write: mode},

	{property: "AddRef"},
	{property: "PIDs"},
}

// lookup finds a setting by its name on the bus.
func lookup(property string) setting {
	for _, s := range settings {
		if s.property == property {
			return s
		}
	}
	panic("unitgen: property " + property + " is not in the table")
}
