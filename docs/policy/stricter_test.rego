package redoubt_test

import rego.v1

calm := {"band": "low", "score": 0, "signals": []}

request(currency, total) := {
	"place": "approval_request",
	"risk": calm,
	"payment": {"currency": currency, "total_e4": total, "payments": 1},
	"asked": {"approvers": 1, "needed": 1, "devices": 1, "face": false},
}

test_a_small_payment_passes if {
	said := data.redoubt.decision with input as request("EUR", 2500000)
	said == {"effect": "allow", "reasons": []}
}

test_a_large_one_does_not if {
	said := data.redoubt.decision with input as request("EUR", 1000000001)
	said == {"effect": "deny", "reasons": ["over_limit"]}
}

test_nor_one_in_another_currency if {
	said := data.redoubt.decision with input as request("XAU", 1)
	said == {"effect": "deny", "reasons": ["unknown_currency"]}
}

test_a_worn_device_asks_for_more if {
	said := data.redoubt.decision with input as {
		"place": "login",
		"risk": calm,
		"device": {"key": "unproven", "trust": 0.1, "user_verified": true},
	}
	said == {"effect": "step_up", "reasons": ["untrusted_device"]}
}
