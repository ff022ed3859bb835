-- Note that a slot has a holder, or none, unless a newer one is known: what older ones wanted is void (as `router.interest` has it).
-- KEYS: the slot's holder, its rooms. ARGV: fencing epoch, gateway ('' for none). Returns 1, or 0 where it has a newer one.
local newest, epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0'), tonumber(ARGV[1])
if epoch < newest then
  return 0
end
if epoch > newest or ARGV[2] == '' then
  redis.call('UNLINK', KEYS[2])
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'gateway', ARGV[2])
return 1
