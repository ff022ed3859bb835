-- Free a slot that is cleaned up. KEYS: slot, its connections, its rooms. ARGV: the epoch under which it was taken.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[1], 'gateway', '', 'expiresAt', '0')
return 1
