package gate

import (
	"strconv"

	"rollbridge/supervisor/config"
)

// Identifier is what the lines of a process are marked with in the journal,
// SYSLOG_IDENTIFIER: "shop.worker#2@v42", and from the second generation of a
// release id on "shop.worker#2@v42+2".
func Identifier(spec config.Spec) string {
	text := spec.Application + "." + spec.Instance + "@" + spec.Release
	if spec.Generation > 1 {
		text += "+" + strconv.Itoa(spec.Generation)
	}
	return text
}
