"""Services as flat nftables maps: plan (pure), base (what is fixed), diff (transaction text), apply."""
