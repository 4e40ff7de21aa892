// The emoji that bots and people in this workspace use, by Slack's names.
// A name that is not here stays as it was typed.

const TABLE = new Map(Object.entries({
  mag: '🔍', mag_right: '🔎', eyes: '👀', white_check_mark: '✅', heavy_check_mark: '✔️', ballot_box_with_check: '☑️',
  x: '❌', negative_squared_cross_mark: '❎', no_entry: '⛔', no_entry_sign: '🚫', warning: '⚠️', rotating_light: '🚨',
  octagonal_sign: '🛑', construction: '🚧', question: '❓', grey_question: '❔', exclamation: '❗', bangbang: '‼️',
  information_source: 'ℹ️', bulb: '💡', lock: '🔒', unlock: '🔓', closed_lock_with_key: '🔐', key: '🔑', shield: '🛡️',
  hourglass: '⌛', hourglass_flowing_sand: '⏳', stopwatch: '⏱️', alarm_clock: '⏰', clock3: '🕒', calendar: '📅',
  black_small_square: '▪️', white_small_square: '▫️', black_square_button: '🔲', white_square_button: '🔳',
  red_circle: '🔴', large_orange_circle: '🟠', large_yellow_circle: '🟡', large_green_circle: '🟢', large_blue_circle: '🔵',
  large_purple_circle: '🟣', white_circle: '⚪', black_circle: '⚫', large_green_square: '🟩', large_red_square: '🟥', large_yellow_square: '🟨',
  small_red_triangle: '🔺', small_red_triangle_down: '🔻', small_blue_diamond: '🔹', small_orange_diamond: '🔸',
  arrow_right: '➡️', arrow_left: '⬅️', arrow_up: '⬆️', arrow_down: '⬇️', arrow_right_hook: '↪️', leftwards_arrow_with_hook: '↩️',
  arrows_counterclockwise: '🔄', repeat: '🔁', rewind: '⏪', double_vertical_bar: '⏸️', black_square_for_stop: '⏹️', arrow_forward: '▶️',
  wrench: '🔧', hammer: '🔨', hammer_and_wrench: '🛠️', gear: '⚙️', link: '🔗', electric_plug: '🔌', satellite_antenna: '📡',
  globe_with_meridians: '🌐', cloud: '☁️', package: '📦', computer: '💻', desktop_computer: '🖥️', bar_chart: '📊', chart_with_upwards_trend: '📈',
  chart_with_downwards_trend: '📉', clipboard: '📋', memo: '📝', pencil: '📝', page_facing_up: '📄', bookmark: '🔖', paperclip: '📎', books: '📚',
  pushpin: '📌', round_pushpin: '📍', bell: '🔔', no_bell: '🔕', speech_balloon: '💬', envelope: '✉️', robot_face: '🤖', ghost: '👻', bug: '🐛',
  fire: '🔥', boom: '💥', zap: '⚡', sparkles: '✨', star: '⭐', tada: '🎉', rocket: '🚀', ship: '🚢', whale: '🐳', wheel_of_dharma: '☸️',
  'thumbsup': '👍', '+1': '👍', 'thumbsdown': '👎', '-1': '👎', ok_hand: '👌', ok: '🆗', wave: '👋', raised_hands: '🙌', pray: '🙏', clap: '👏',
  muscle: '💪', point_right: '👉', point_down: '👇', point_up: '☝️', raised_hand: '✋', handshake: '🤝', thinking_face: '🤔', shrug: '🤷',
  smile: '😄', slightly_smiling_face: '🙂', wink: '😉', joy: '😂', sweat_smile: '😅', sob: '😭', cry: '😢', disappointed: '😞', scream: '😱',
  heart: '❤️', green_heart: '💚', hundred: '💯', 100: '💯', coffee: '☕', sleeping: '😴', zzz: '💤', see_no_evil: '🙈', party_blob: '🥳',
  one: '1️⃣', two: '2️⃣', three: '3️⃣', four: '4️⃣', five: '5️⃣', heavy_plus_sign: '➕', heavy_minus_sign: '➖', new: '🆕', soon: '🔜',
}));

// emojiOf returns the character for a name without its colons, or "".
export function emojiOf(name) {
  return TABLE.get(String(name).replace(/::skin-tone-\d$/, '')) ?? '';
}
