# An example: large payments never, new payees and unproven keys with more.
package redoubt

import rego.v1

# Ten-thousandths: 100000.0000 EUR.
limit := {"EUR": 1000000000}

deny contains "over_limit" if input.payment.total_e4 > limit[input.payment.currency]

deny contains "unknown_currency" if {
	input.payment
	not limit[input.payment.currency]
}

step_up contains "unusual" if {
	input.place != "login"
	input.risk.band != "low"
}

step_up contains "untrusted_device" if input.device.trust < 0.3

effect := "deny" if count(deny) > 0

else := "step_up" if count(step_up) > 0

else := "allow"

decision := {"effect": effect, "reasons": sort(deny | step_up)}
