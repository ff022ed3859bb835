-- Give a slot back. KEYS: slot. ARGV: epoch. The epoch stays, so that the next one is higher.
if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'gateway', '', 'expiresAt', '0')
  return 1
end
return 0
