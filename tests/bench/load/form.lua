-- A form of BYTES bytes: wrk -s form.lua URL -- BYTES few|many
-- Few: two long texts. Many: a pair of short ones, again and again.
function init(args)
  local bytes, text = tonumber(args[1]), 'first+value+caf%C3%A9+or+tea%3F+'
  local body
  if args[2] == 'few' then
    text = string.rep(text, bytes):sub(1, bytes / 2 - 12)
    body = 'userinput1=' .. text .. '&userinput2=' .. text
  else
    text = 'userinput1=first+value&userinput2=caf%C3%A9+or+tea%3F&'
    body = string.rep(text, bytes):sub(1, bytes)
  end
  wrk.headers['Content-Type'] = 'application/x-www-form-urlencoded'
  form = wrk.format('POST', '/', nil, body)
end

function request()
  return form
end
